/* The probabilities of classes, in integers: SOFTMAX of int8 logits as TensorFlow Lite Micro's reference kernel and
 * CMSIS-NN's arm_softmax_s8 compute it, to the last bit. The fixed-point functions are gemmlowp's; a number of
 * "31 bits" is an int32 that stands for itself times 2^-31.
 *
 * All constants have their width written out: int has 16 bits on some machines. */
#ifndef FMA_SOFTMAX_H
#define FMA_SOFTMAX_H

#include <stdint.h>

/* How a difference of logits becomes a fixed-point number of 26 fractional bits. */
typedef struct {
    int32_t multiplier; /* in [2^30, 2^31) */
    int32_t shift;      /* to the left, before; 0 to 31 */
    int32_t lowest;     /* difference that counts; 0 or less */
} fma_softmax_t;

/* The high word of twice the product, rounded half up. */
static inline int32_t fma_fixed_product(int32_t a, int32_t b) {
    return (int32_t)(((int64_t)a * b + (INT64_C(1) << 30)) >> 31);
}

/* x / 2^times for times in [1, 31], rounded half away from zero. */
static inline int32_t fma_fixed_shift(int32_t x, int32_t times) {
    return (int32_t)(((int64_t)x + (INT64_C(1) << (times - 1)) - (x < 0)) >> times);
}

/* e to the power of x, 31 bits; x has 26 fractional bits and is 0 or less. */
static inline int32_t fma_fixed_exp(int32_t x) {
    static const int32_t factors[] = {/* e to the power of -1/4, -1/2, -1, -2, -4, -8, -16 */
                                      INT32_C(1672461947), INT32_C(1302514674), INT32_C(790015084),
                                      INT32_C(290630308),  INT32_C(39332535),   INT32_C(720401),
                                      INT32_C(242)};
    const int32_t quarter = INT32_C(1) << 24, start = INT32_C(1895147668); /* e to the power of -1/8 */
    const int32_t rest = (x & (quarter - 1)) - quarter; /* x modulo 1/4, in [-1/4, 0) */
    const int32_t a = rest * 32 + (INT32_C(1) << 28);   /* 1/8 more, 31 bits */
    const int32_t square = fma_fixed_product(a, a);
    const int32_t third = fma_fixed_shift(fma_fixed_product(square, square), 2) + fma_fixed_product(square, a);
    const int32_t higher = fma_fixed_shift(fma_fixed_product(third, INT32_C(715827883)) + square, 1);
    int32_t result = start + fma_fixed_product(a + higher, start);
    int32_t quarters = (rest - x) / quarter;
    if (x == 0) return INT32_MAX;
    for (int i = 0; quarters; i++, quarters >>= 1) {
        if (quarters & 1) result = fma_fixed_product(result, factors[i]);
    }
    return result;
}

/* 1 / (1 + x) for x in [0, 1), both 31 bits, by Newton's method. */
static inline int32_t fma_fixed_reciprocal(int32_t x) {
    const int32_t half = (int32_t)(((int64_t)x + (INT64_C(1) << 31)) >> 1);
    /* 48/17 - 32/17 * half, 29 fractional bits */
    int32_t result = INT32_C(1515870810) + fma_fixed_product(half, -INT32_C(1010580540));
    for (int i = 0; i < 3; i++) {
        const int32_t rest = (INT32_C(1) << 29) - fma_fixed_product(half, result);
        result += fma_fixed_product(result, rest) * 4;
    }
    return result > INT32_MAX / 2 ? INT32_MAX : result * 2;
}

/* Writes 256 times the probability of each class to `scores`, 255 at most; they add up to 256 but for rounding.
 * `powers` is room for as many words. Of 1 to 511 classes. */
static inline void fma_softmax(const fma_softmax_t *how, const int8_t *logits, int32_t classes, int32_t *powers,
                               uint8_t *scores) {
    int32_t greatest = logits[0], sum = 0, zeros = 0, inverse;
    for (int32_t i = 1; i < classes; i++) {
        if (logits[i] > greatest) greatest = logits[i];
    }
    for (int32_t i = 0; i < classes; i++) {
        const int32_t difference = logits[i] - greatest;
        powers[i] = 0;
        if (difference < how->lowest) continue;
        /* Not shifted: the number is negative. */
        powers[i] = fma_fixed_exp(
            fma_fixed_product((int32_t)(difference * (INT64_C(1) << how->shift)), how->multiplier));
        sum += fma_fixed_shift(powers[i], 12);
    }
    while (!((uint32_t)sum << zeros & UINT32_C(0x80000000))) zeros++;
    inverse = fma_fixed_reciprocal((int32_t)((uint32_t)sum << zeros & UINT32_C(0x7FFFFFFF)));
    for (int32_t i = 0; i < classes; i++) {
        const int32_t q = fma_fixed_shift(fma_fixed_product(powers[i], inverse), 35 - zeros);
        scores[i] = (uint8_t)(q < 255 ? q : 255);
    }
}

#endif
