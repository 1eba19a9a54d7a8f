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

/* e to the power of x, to 1 unit in the last place; 0 below -87 and infinite above 87, so that no result is
 * subnormal, which some processors round to 0. The method is Cephes' expf (Moshier): x = k * ln 2 + r with
 * |r| <= ln 2 / 2, where ln 2 is a constant of few bits, whose multiples are exact, and the rest; a polynomial
 * for e^r; and k added to the exponent. */
static inline float fma_exp(float x) {
    union {
        float value;
        uint32_t bits;
    } result = {0.0f};
    float scaled, r, p;
    int32_t k;
    if (x < -87.0f) return 0.0f;
    if (x > 87.0f) {
        result.bits = 0x7F800000u;
        return result.value;
    }
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
    result.value = (p * (r * r) + r) + 1.0f;
    result.bits += (uint32_t)k << 23;
    return result.value;
}

static inline float fma_sigmoid(float x) {
    return 1.0f / (1.0f + fma_exp(-x));
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
