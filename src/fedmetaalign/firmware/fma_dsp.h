/* Sums of products of int8 activations and weights: four outputs of a layer at a time, four inputs a step.
 *
 * The Cortex-M4, M7, M33 and M55 multiply two pairs of int16 and add both products in one instruction, SMLAD.
 * What costs is to widen int8 to int16. So activations are widened once a layer, and weights stand in memory
 * in the order in which they are needed: a layer is a sequence of blocks of four outputs, and a block's weights
 * are a sequence of steps of four inputs, 16 weights each. Of a step's inputs x0 to x3, fma_pack makes
 *
 *     a = x1 - 127,  b = 256 * x0 - a    and likewise of x3 and x2
 *
 * which are int16 whatever the inputs are. The model's biases make up for the 127.
 *
 * Weights of 8 bits take a word for each output. Its two int16 are 256 * w1 + w0 and 256 * w3 + w2 (exact sums,
 * not two bytes side by side), and since
 *
 *     (256 * w1 + w0) * a + w0 * b  =  256 * (w1 * a + w0 * x0)
 *
 * words are multiplied as they are, and only the weights in their lower bytes need widening, SXTB16. The sum
 * is 256 times what it should be, and of 256 inputs it still fits into int32.
 *
 * Weights of 4 bits take a word for two outputs. The upper halves of its bytes are the weights of the first
 * one, the lower halves those of the second; at the upper end of a byte each is an int8, times 16.
 *
 * The portable C at the end takes the same words and gives the same integers. */
#ifndef FMA_DSP_H
#define FMA_DSP_H

#include <stdint.h>

#if FMA_PAIRS
#include "fma_pairs.h"
#else

enum { FMA_MOST_STEPS = 64 }; /* of a sum that fits into int32 */

/* What a step's inputs become: pairs of int16, that of x0 and x1 in the lower half. */
typedef struct {
    int32_t a, b;
} fma_step_t;

static inline int32_t fma_pair(int32_t lower, int32_t upper) {
    return (int32_t)(((uint32_t)lower & 0xFFFFu) | (uint32_t)upper << 16);
}

#if defined(__ARM_FEATURE_SIMD32) && defined(__thumb2__)

static inline fma_step_t fma_pack(const int8_t *x) {
    uint32_t word;
    fma_step_t step;
    __builtin_memcpy(&word, x, 4);
    __asm__("sxtb16 %0, %2, ror #8\n"
            "ssub16 %0, %0, %3\n"
            "ssub16 %1, %4, %0\n"
            : "=&r"(step.a), "=r"(step.b)
            : "r"(word), "r"(INT32_C(0x007F007F)), "r"(word << 8 & 0xFF00FF00u));
    return step;
}

/* Sums `steps` steps, one at least, into four sums, and returns where the next weights are. No register of the
 * assembly is r7, which can be the frame pointer. */
#define FMA_DOT(name, loop)                                                                                  \
    static inline const int32_t *name(const int32_t *w, const fma_step_t *x, int32_t steps, int32_t *sums) { \
        int32_t s0, s1, s2, s3, a, b;                                                                        \
        __asm__ volatile("mov    %[s0], #0\n"                                                                \
                         "mov    %[s1], #0\n"                                                                \
                         "mov    %[s2], #0\n"                                                                \
                         "mov    %[s3], #0\n" loop                                                           \
                         : [w] "+r"(w), [x] "+r"(x), [steps] "+r"(steps), [a] "=&r"(a), [b] "=&r"(b),        \
                           [s0] "=&r"(s0), [s1] "=&r"(s1), [s2] "=&r"(s2), [s3] "=&r"(s3)                    \
                         :                                                                                   \
                         : "r4", "r5", "r6", "r8", "cc", "memory");                                          \
        sums[0] = s0;                                                                                        \
        sums[1] = s1;                                                                                        \
        sums[2] = s2;                                                                                        \
        sums[3] = s3;                                                                                        \
        return w;                                                                                            \
    }

#define FMA_STEP_8                      \
    "ldmia  %[w]!, {r4, r5, r6, r8}\n"  \
    "ldrd   %[a], %[b], [%[x]], #8\n"   \
    "smlad  %[s0], r4, %[a], %[s0]\n"   \
    "smlad  %[s1], r5, %[a], %[s1]\n"   \
    "smlad  %[s2], r6, %[a], %[s2]\n"   \
    "smlad  %[s3], r8, %[a], %[s3]\n"   \
    "sxtb16 r4, r4\n"                   \
    "sxtb16 r5, r5\n"                   \
    "sxtb16 r6, r6\n"                   \
    "sxtb16 r8, r8\n"                   \
    "smlad  %[s0], r4, %[b], %[s0]\n"   \
    "smlad  %[s1], r5, %[b], %[s1]\n"   \
    "smlad  %[s2], r6, %[b], %[s2]\n"   \
    "smlad  %[s3], r8, %[b], %[s3]\n"

/* Two steps a turn; an odd number enters in the middle. */
FMA_DOT(fma_dot_8, "tst    %[steps], #1\n"
                   "bne    2f\n"
                   "1:\n" FMA_STEP_8
                   "2:\n" FMA_STEP_8
                   "subs   %[steps], %[steps], #2\n"
                   "bgt    1b\n")

/* Two outputs of two places of a kernel, whose packed inputs take turns: each weight is widened once for both.
 * Stores the first output's sums of both places, and then the second's. */
#define FMA_HAS_TWO_PLACES 1

#define FMA_TWO_PLACES(skip, one, other) \
    "ldr    %[w2], [%[w]], " skip "\n"  \
    "smlad  " one ", %[w2], r4, " one "\n" \
    "smlad  " other ", %[w2], r6, " other "\n" \
    "sxtb16 %[w2], %[w2]\n"             \
    "smlad  " one ", %[w2], r5, " one "\n" \
    "smlad  " other ", %[w2], r8, " other "\n"

#define FMA_STEP_OF_TWO                \
    "ldmia  %[x]!, {r4, r5, r6, r8}\n" \
    FMA_TWO_PLACES("#4", "%[s0]", "%[s1]") FMA_TWO_PLACES("#12", "%[s2]", "%[s3]")

static inline void fma_dot_two(const int32_t *w, const fma_step_t *x, int32_t steps, int32_t *sums) {
    int32_t s0, s1, s2, s3, w2;
    __asm__ volatile("mov    %[s0], #0\n"
                     "mov    %[s1], #0\n"
                     "mov    %[s2], #0\n"
                     "mov    %[s3], #0\n"
                     "tst    %[steps], #1\n"
                     "bne    2f\n"
                     "1:\n" FMA_STEP_OF_TWO
                     "2:\n" FMA_STEP_OF_TWO
                     "subs   %[steps], %[steps], #2\n"
                     "bgt    1b\n"
                     : [w] "+r"(w), [x] "+r"(x), [steps] "+r"(steps), [w2] "=&r"(w2), [s0] "=&r"(s0),
                       [s1] "=&r"(s1), [s2] "=&r"(s2), [s3] "=&r"(s3)
                     :
                     : "r4", "r5", "r6", "r8", "cc", "memory");
    sums[0] = s0;
    sums[1] = s1;
    sums[2] = s2;
    sums[3] = s3;
}

#define FMA_WEIGHTS_4(word, sum)          \
    "and    r6, " word ", #0xF0F0F0F0\n"  \
    "sxtb16 r8, r6\n"                     \
    "sxtb16 r6, r6, ror #8\n"             \
    "smlad  " sum ", r8, %[b], " sum "\n" \
    "smlad  " sum ", r6, %[a], " sum "\n"

FMA_DOT(fma_dot_4, "1:\n"
                   "ldrd   r4, r5, [%[w]], #8\n"
                   "ldrd   %[a], %[b], [%[x]], #8\n"
                   "sadd16 %[b], %[b], %[a]\n"
                   "sxtb16 %[b], %[b], ror #8\n" /* x0 and x2 again */
                   FMA_WEIGHTS_4("r4", "%[s0]")
                   "lsl    r4, r4, #4\n"
                   FMA_WEIGHTS_4("r4", "%[s1]")
                   FMA_WEIGHTS_4("r5", "%[s2]")
                   "lsl    r5, r5, #4\n"
                   FMA_WEIGHTS_4("r5", "%[s3]")
                   "subs   %[steps], %[steps], #1\n"
                   "bne    1b\n")

#else

static inline fma_step_t fma_pack(const int8_t *x) {
    const int32_t a01 = x[1] - 127, a23 = x[3] - 127;
    const fma_step_t step = {fma_pair(a01, a23), fma_pair(256 * x[0] - a01, 256 * x[2] - a23)};
    return step;
}

static inline int32_t fma_lower(int32_t pair) {
    return (int16_t)pair;
}

static inline int32_t fma_upper(int32_t pair) {
    return pair >> 16;
}

static inline const int32_t *fma_dot_8(const int32_t *w, const fma_step_t *x, int32_t steps, int32_t *sums) {
    for (int o = 0; o < 4; o++) sums[o] = 0;
    for (; steps; steps--, x++) {
        const int32_t a01 = fma_lower(x->a), a23 = fma_upper(x->a);
        const int32_t b01 = fma_lower(x->b), b23 = fma_upper(x->b);
        for (int o = 0; o < 4; o++, w++) {
            const int32_t w01 = fma_lower(*w), w23 = fma_upper(*w);
            sums[o] += w01 * a01 + (int8_t)w01 * b01 + w23 * a23 + (int8_t)w23 * b23;
        }
    }
    return w;
}

static inline const int32_t *fma_dot_4(const int32_t *w, const fma_step_t *x, int32_t steps, int32_t *sums) {
    for (int o = 0; o < 4; o++) sums[o] = 0;
    for (; steps; steps--, x++, w += 2) {
        const int32_t a01 = fma_lower(x->a), a23 = fma_upper(x->a);
        const int32_t x0 = (fma_lower(x->b) + a01) >> 8, x2 = (fma_upper(x->b) + a23) >> 8;
        for (int o = 0; o < 4; o++) {
            const uint32_t four = (uint32_t)w[o / 2] << (o & 1) * 4 & 0xF0F0F0F0u;
            sums[o] += (int8_t)four * x0 + (int8_t)(four >> 8) * a01;
            sums[o] += (int8_t)(four >> 16) * x2 + (int8_t)(four >> 24) * a23;
        }
    }
    return w;
}

#endif

#endif

#if defined(__ARM_FEATURE_SIMD32) && defined(__thumb2__)

/* The high word of twice the product with a multiplier in [2^30, 2^31), rounded half up. As an int32, twice the
 * multiplier is 2^32 too small, for which the factor, added to the high word, makes up. */
static inline int32_t fma_multiply(int32_t factor, int32_t multiplier) {
    const int32_t doubled = (int32_t)((uint32_t)multiplier << 1);
    int32_t high;
    __asm__("smmlar %0, %1, %2, %1" : "=r"(high) : "r"(factor), "r"(doubled));
    return high;
}

/* Half of a number, rounded down, as an int8. */
static inline int32_t fma_halve(int32_t twice) {
    int32_t half;
    __asm__("ssat %0, #8, %1, asr #1" : "=r"(half) : "r"(twice));
    return half;
}

#else

#if defined(__ARM_ARCH_6M__)
/* The same of four products of 16 bits: a core that has no others would call a function for 64 bits. */
static inline int32_t fma_multiply(int32_t factor, int32_t multiplier) {
    const int32_t f1 = factor >> 16, m1 = multiplier >> 16;
    const uint32_t f0 = (uint32_t)factor & 0xFFFFu, m0 = (uint32_t)multiplier & 0xFFFFu;
    const uint32_t middle = f0 * (uint32_t)m1 + (f0 * m0 >> 16);
    const int32_t more = (int32_t)((uint32_t)f1 * m0 + (middle & 0xFFFFu));
    const uint32_t high = (uint32_t)f1 * (uint32_t)m1 + (middle >> 16);
    return (int32_t)(high << 1) + ((more + 0x4000) >> 15);
}
#else
static inline int32_t fma_multiply(int32_t factor, int32_t multiplier) {
    return (int32_t)(((int64_t)factor * multiplier + (INT32_C(1) << 30)) >> 31);
}
#endif

static inline int32_t fma_halve(int32_t twice) {
    const int32_t half = twice >> 1;
    return half < -128 ? -128 : half > 127 ? 127 : half;
}

#endif

#endif
