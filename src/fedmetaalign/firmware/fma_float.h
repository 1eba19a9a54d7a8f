/* Float arithmetic that gives the same bits on every machine: IEEE 754 float32 +, -, * and /, each rounded (no
 * fused multiply-add), and bit operations. Whoever sums up does so in the order of the index, the bias last. */
#ifndef FMA_FLOAT_H
#define FMA_FLOAT_H

#include <stdint.h>

#if defined(__FAST_MATH__) || (defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__)
#error "Turn -ffast-math off: it takes the check for broken sensors out, and changes scores."
#endif

#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#elif defined(__GNUC__)
#pragma GCC optimize("fp-contract=off")
#endif

static inline float fma_from_bits(uint32_t bits) {
    union {
        float value;
        uint32_t bits;
    } word;
    word.bits = bits;
    return word.value;
}

static inline uint32_t fma_to_bits(float value) {
    union {
        float value;
        uint32_t bits;
    } word;
    word.value = value;
    return word.bits;
}

/* e to the power of x, to 1 unit in the last place; 0 below -87 and infinite above 87, so that no result is
 * subnormal, which some processors round to 0. The method is Cephes' expf (Moshier): x = k * ln 2 + r with
 * |r| <= ln 2 / 2, where ln 2 is a constant of few bits, whose multiples are exact, and the rest; a polynomial
 * for e^r; and k added to the exponent. */
static inline float fma_exp(float x) {
    float scaled, r, p;
    int32_t k;
    if (x < -87.0f) return 0.0f;
    if (x > 87.0f) return fma_from_bits(0x7F800000u);
    if (x != x) return x;
    scaled = x * 1.44269504f;
    k = (int32_t)(scaled < 0.0f ? scaled - 0.5f : scaled + 0.5f);
    r = (x - (float)k * 0.693359375f) - (float)k * -2.12194440e-4f;
    p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    return fma_from_bits(fma_to_bits((p * (r * r) + r) + 1.0f) + ((uint32_t)k << 23));
}

static inline float fma_sigmoid(float x) {
    return 1.0f / (1.0f + fma_exp(-x));
}

/* The square root, correctly rounded, of a number that is not negative. */
static inline float fma_root(float x) {
#if defined(__ARM_FP) && (__ARM_FP & 4)
    float y;
    __asm__("vsqrt.f32 %0, %1" : "=t"(y) : "t"(x));
    return y;
#else
    uint32_t rest = fma_to_bits(x), found = 0, sum = 0, bit;
    int32_t exponent = (int32_t)(rest >> 23) - 127;
    if (rest == 0 || exponent == 128) return x;
    rest &= 0x7FFFFFu;
    if (exponent == -127) { /* subnormal */
        for (exponent = -126; !(rest & 0x800000u); exponent--) rest <<= 1;
    }
    rest |= 0x800000u;
    if (exponent & 1) {
        rest <<= 1;
        exponent--;
    }
    /* One bit of the root after another, down to one below the last that is kept. That one decides, since no
     * root lies halfway between two float32 numbers. */
    for (bit = 0x1000000u; bit; bit >>= 1) {
        const uint32_t trial = sum + bit;
        rest <<= 1;
        if (trial <= rest) {
            sum = trial + bit;
            rest -= trial;
            found += bit;
        }
    }
    return fma_from_bits(((found + 1) >> 1) + (uint32_t)(exponent / 2 + 126) * 0x800000u);
#endif
}

/* The probabilities of classes: e to the power of what each is below the greatest, over their sum. */
static inline void fma_float_softmax(const float *logits, int classes, float *probabilities) {
    float greatest = logits[0], sum = 0.0f;
    for (int i = 1; i < classes; i++) {
        if (logits[i] > greatest) greatest = logits[i];
    }
    for (int i = 0; i < classes; i++) {
        probabilities[i] = fma_exp(logits[i] - greatest);
        sum += probabilities[i];
    }
    for (int i = 0; i < classes; i++) probabilities[i] /= sum;
}

#endif
