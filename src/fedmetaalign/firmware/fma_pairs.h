/* Sums of products for cores whose multiplier gives 32 bits and no more, such as the Cortex-M0: two products a
 * multiplication, of weights that lie in memory for it. A device whose target is such a core has them so.
 *
 * A block is four outputs, a step four inputs, and a word holds two weights of two outputs, each 128 more than it
 * is: from its lowest byte on those of output a for the inputs x0 and x1, and then those of output b. With t for
 * the bytes of x0 and q for those of x1, each 16 bits apart, a word is t + 256 * q, and
 *
 *     word * x0 + q * (x1 - 256 * x0)  =  t * x0 + q * x1
 *
 * which has a's sum of two products in its lower half and b's in its upper. Both are too large by 128 * (x0 + x1);
 * less that, each fits into 16 bits, and 2^15 more makes the lower one positive, so that an arithmetic shift by 16
 * gives b's alone. b's are added up, and the words too: what they have more than b's in their upper halves is a's.
 *
 * The portable C takes the same words and gives the same integers. */
#ifndef FMA_PAIRS_H
#define FMA_PAIRS_H

#include <stdint.h>

enum { FMA_MOST_STEPS = 1 << 14 };

/* What two inputs become. */
typedef struct {
    uint32_t less; /* what is too much in both halves, and 2^15 */
    int32_t x, y;  /* x0, and x1 - 256 * x0 */
} fma_pair_t;

typedef struct {
    fma_pair_t pairs[2];
} fma_step_t;

static inline fma_pair_t fma_pack_pair(int32_t x0, int32_t x1) {
    const fma_pair_t pair = {UINT32_C(0x8000) - ((uint32_t)(x0 + x1) << 7) * UINT32_C(0x10001), x0, x1 - 256 * x0};
    return pair;
}

static inline fma_step_t fma_pack(const int8_t *x) {
    const fma_step_t step = {{fma_pack_pair(x[0], x[1]), fma_pack_pair(x[2], x[3])}};
    return step;
}

#if defined(__ARM_ARCH_6M__)

/* The sums of two outputs, of the words' and of their upper halves'. */
static inline void fma_part(int32_t all, int32_t upper, int32_t steps, int32_t *sums) {
    sums[0] = (int32_t)((uint32_t)all - ((uint32_t)upper << 16) - ((uint32_t)steps << 16));
    sums[1] = upper;
}

/* r2 is the word; r4 and r5 are x and y; r6 is the mask, r12 what is too much. */
#define FMA_TWO_OUTPUTS(all, upper) \
    "ldmia  r1!, {r2}\n"            \
    "lsrs   r3, r2, #8\n"           \
    "ands   r3, r6\n"               \
    "muls   r2, r4, r2\n"           \
    "muls   r3, r5, r3\n"           \
    "adds   r2, r2, r3\n"           \
    "add    r2, r12\n"              \
    "add    " all ", r2\n"          \
    "asrs   r2, r2, #16\n"          \
    "add    " upper ", r2\n"

#define FMA_TWO_INPUTS            \
    "ldmia  r0!, {r2, r4, r5}\n"  \
    "mov    r12, r2\n"            \
    FMA_TWO_OUTPUTS("r8", "r9")   \
    FMA_TWO_OUTPUTS("r10", "r11")

static inline const int32_t *fma_dot_8(const int32_t *w, const fma_step_t *x, int32_t steps, int32_t *sums) {
    register const fma_step_t *r0 __asm__("r0") = x;
    register const int32_t *r1 __asm__("r1") = w;
    register int32_t r2 __asm__("r2") = (int32_t)(uintptr_t)(x + steps);
    register int32_t r3 __asm__("r3") = 0;
    register int32_t r4 __asm__("r4") = steps;
    register int32_t r5 __asm__("r5");
    register int32_t r6 __asm__("r6") = INT32_C(0x00FF00FF);
    __asm__ volatile(".syntax unified\n"
                     "mov    lr, r2\n"
                     "mov    r8, r3\n"
                     "mov    r9, r3\n"
                     "mov    r10, r3\n"
                     "mov    r11, r3\n"
                     "lsrs   r4, r4, #1\n" /* two steps a turn; an odd number enters in the middle */
                     "bcs    2f\n"
                     "1:\n" FMA_TWO_INPUTS FMA_TWO_INPUTS
                     "2:\n" FMA_TWO_INPUTS FMA_TWO_INPUTS
                     "cmp    r0, lr\n"
                     "bne    1b\n"
                     "mov    r2, r8\n"
                     "mov    r3, r9\n"
                     "mov    r4, r10\n"
                     "mov    r5, r11\n"
                     : "+l"(r0), "+l"(r1), "+l"(r2), "+l"(r3), "+l"(r4), "=l"(r5)
                     : "l"(r6)
                     : "r8", "r9", "r10", "r11", "r12", "lr", "cc", "memory");
    fma_part(r2, r3, steps, sums);
    fma_part(r4, r5, steps, sums + 2);
    return r1;
}

#else

static inline const int32_t *fma_dot_8(const int32_t *w, const fma_step_t *x, int32_t steps, int32_t *sums) {
    for (int o = 0; o < 4; o++) sums[o] = 0;
    for (; steps; steps--, x++) {
        for (int i = 0; i < 2; i++) {
            const int32_t x0 = x->pairs[i].x, x1 = x->pairs[i].y + 256 * x0;
            for (int o = 0; o < 4; o += 2, w++) {
                const uint32_t word = (uint32_t)*w;
                sums[o] += ((int32_t)(word & 255) - 128) * x0 + ((int32_t)(word >> 8 & 255) - 128) * x1;
                sums[o + 1] += ((int32_t)(word >> 16 & 255) - 128) * x0 + ((int32_t)(word >> 24) - 128) * x1;
            }
        }
    }
    return w;
}

#endif

/* Convolutions use a weight at many places, and have few: theirs take 16 bits each, so that nothing has to be parted.
 * A word is the sum a + 65536 * b of the weights of two outputs for one input, and the words of two inputs, times
 * these, add up to the same two sums of two products. Inputs are one int32 each, so that places can share them. */

static inline void fma_widen(const int8_t *x, int32_t count, int32_t *wide) {
    for (; count >= 4; count -= 4, x += 4, wide += 4) {
        wide[0] = x[0];
        wide[1] = x[1];
        wide[2] = x[2];
        wide[3] = x[3];
    }
    for (; count; count--) *wide++ = *x++;
}

#if defined(__ARM_ARCH_6M__)

/* r4 and r5 are the inputs; r12 is 2^15. */
#define FMA_TWO_OUTPUTS_WIDE(all, upper) \
    "ldmia  r1!, {r2, r3}\n"            \
    "muls   r2, r4, r2\n"               \
    "muls   r3, r5, r3\n"               \
    "adds   r2, r2, r3\n"               \
    "add    r2, r12\n"                  \
    "add    " all ", r2\n"              \
    "asrs   r2, r2, #16\n"              \
    "add    " upper ", r2\n"

#define FMA_TWO_INPUTS_WIDE           \
    "ldmia  r0!, {r4, r5}\n"         \
    FMA_TWO_OUTPUTS_WIDE("r8", "r9")  \
    FMA_TWO_OUTPUTS_WIDE("r10", "r11")

static inline const int32_t *fma_dot_wide(const int32_t *w, const int32_t *x, int32_t steps, int32_t *sums) {
    register const int32_t *r0 __asm__("r0") = x;
    register const int32_t *r1 __asm__("r1") = w;
    register int32_t r2 __asm__("r2") = (int32_t)(uintptr_t)(x + 4 * steps);
    register int32_t r3 __asm__("r3") = 0;
    register int32_t r4 __asm__("r4") = steps;
    register int32_t r5 __asm__("r5") = INT32_C(0x8000);
    __asm__ volatile(".syntax unified\n"
                     "mov    lr, r2\n"
                     "mov    r8, r3\n"
                     "mov    r9, r3\n"
                     "mov    r10, r3\n"
                     "mov    r11, r3\n"
                     "mov    r12, r5\n"
                     "lsrs   r4, r4, #1\n" /* two steps a turn; an odd number enters in the middle */
                     "bcs    2f\n"
                     "1:\n" FMA_TWO_INPUTS_WIDE FMA_TWO_INPUTS_WIDE
                     "2:\n" FMA_TWO_INPUTS_WIDE FMA_TWO_INPUTS_WIDE
                     "cmp    r0, lr\n"
                     "bne    1b\n"
                     "mov    r2, r8\n"
                     "mov    r3, r9\n"
                     "mov    r4, r10\n"
                     "mov    r5, r11\n"
                     : "+l"(r0), "+l"(r1), "+l"(r2), "+l"(r3), "+l"(r4), "+l"(r5)
                     :
                     : "r8", "r9", "r10", "r11", "r12", "lr", "cc", "memory");
    fma_part(r2, r3, steps, sums);
    fma_part(r4, r5, steps, sums + 2);
    return r1;
}

#else

static inline const int32_t *fma_dot_wide(const int32_t *w, const int32_t *x, int32_t steps, int32_t *sums) {
    for (int o = 0; o < 4; o++) sums[o] = 0;
    for (int32_t pairs = 2 * steps; pairs; pairs--, x += 2) {
        for (int o = 0; o < 4; o += 2, w += 2) {
            for (int i = 0; i < 2; i++) {
                const int32_t a = (int16_t)w[i], b = (w[i] - a) >> 16;
                sums[o] += a * x[i];
                sums[o + 1] += b * x[i];
            }
        }
    }
    return w;
}

#endif

/* There are no weights of 4 bits in this order. */
static inline const int32_t *fma_dot_4(const int32_t *w, const fma_step_t *x, int32_t steps, int32_t *sums) {
    return fma_dot_8(w, x, steps, sums);
}

#endif
