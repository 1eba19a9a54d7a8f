/* Layers over time: activations are (steps, channels), row by row, and a layer goes from place to place of its
 * kernel. A convolution is a dense layer of what the kernel sees at a place; the others are here. Outputs may lie
 * where inputs were that no later place needs: fma_model.h says where each layer's begin. */
#ifndef FMA_TIME_H
#define FMA_TIME_H

#include <stdint.h>

#if FMA_USES_DEPTHWISE
#if defined(__ARM_FEATURE_SIMD32) && defined(__thumb2__)
#define FMA_FOUR_CHANNELS 1

/* Adds the products of `count` inputs and weights to the sums of the first four of `channels` channels. */
static inline void fma_add_four(const int8_t *x, const int8_t *weights, int32_t channels, int32_t count, int32_t *sums) {
    int32_t at = -count, s0 = sums[0], s1 = sums[1], s2 = sums[2], s3 = sums[3];
    __asm__ volatile("1:\n"
                     "ldr    r4, [%[x], %[at]]\n"
                     "ldr    r5, [%[w], %[at]]\n"
                     "sxtb16 r6, r4\n"
                     "sxtb16 r4, r4, ror #8\n"
                     "sxtb16 r8, r5\n"
                     "sxtb16 r5, r5, ror #8\n"
                     "smlabb %[s0], r6, r8, %[s0]\n"
                     "smlabb %[s1], r4, r5, %[s1]\n"
                     "smlatt %[s2], r6, r8, %[s2]\n"
                     "smlatt %[s3], r4, r5, %[s3]\n"
                     "adds   %[at], %[at], %[channels]\n"
                     "bne    1b\n"
                     : [at] "+r"(at), [s0] "+r"(s0), [s1] "+r"(s1), [s2] "+r"(s2), [s3] "+r"(s3)
                     : [x] "r"(x + count), [w] "r"(weights + count), [channels] "r"(channels)
                     : "r4", "r5", "r6", "r8", "cc", "memory");
    sums[0] = s0;
    sums[1] = s1;
    sums[2] = s2;
    sums[3] = s3;
}
#else
#define FMA_FOUR_CHANNELS 0
#endif

/* Each channel has words of bias, multiplier and shift, and a weight for each step. */
static void fma_depthwise(const fma_layer_t *layer, const int8_t *from, int8_t *to) {
    const int32_t channels = layer->outputs;
    for (int32_t place = 0; place < layer->places; place++, from += layer->stride, to += channels) {
        const int32_t *words = layer->blocks;
        int32_t c = 0;
#if FMA_FOUR_CHANNELS
        for (; c + 4 <= channels; c += 4) {
            int32_t sums[4] = {words[0], words[3], words[6], words[9]};
            fma_add_four(from + c, layer->weights + c, channels, layer->steps * channels, sums);
            for (int i = 0; i < 4; i++, words += 3) {
                to[c + i] = (int8_t)fma_clip(fma_scale(sums[i], words[1], words[2], layer->zero_point), layer->lowest);
            }
        }
#endif
        for (; c < channels; c++, words += 3) {
            const int8_t *x = from + c, *weight = layer->weights + c;
            int32_t sum = words[0];
            for (int32_t k = layer->steps; k; k--, x += channels, weight += channels) sum += *weight * *x;
            to[c] = (int8_t)fma_clip(fma_scale(sum, words[1], words[2], layer->zero_point), layer->lowest);
        }
    }
}
#endif

#if FMA_USES_MAX
static void fma_max(const fma_layer_t *layer, const int8_t *from, int8_t *to) {
    const int32_t channels = layer->outputs;
    for (int32_t place = 0; place < layer->places; place++, from += layer->stride, to += channels) {
        for (int32_t c = 0; c < channels; c++) {
            const int8_t *x = from + c;
            int32_t most = *x;
            for (int32_t k = layer->steps; --k;) {
                x += channels;
                if (*x > most) most = *x;
            }
            to[c] = (int8_t)most;
        }
    }
}
#endif

#if FMA_USES_AVERAGE || FMA_USES_MEAN
static inline int32_t fma_sum_of(const int8_t *x, int32_t steps, int32_t channels) {
    int32_t sum = 0;
    for (; steps; steps--, x += channels) sum += *x;
    return sum;
}
#endif

#if FMA_USES_AVERAGE
/* On the grid of what it takes; rounded half away from zero. */
static void fma_average(const fma_layer_t *layer, const int8_t *from, int8_t *to) {
    const int32_t channels = layer->outputs, steps = layer->steps;
    for (int32_t place = 0; place < layer->places; place++, from += layer->stride, to += channels) {
        for (int32_t c = 0; c < channels; c++) {
            const int32_t sum = fma_sum_of(from + c, steps, channels);
            to[c] = (int8_t)((sum > 0 ? sum + steps / 2 : sum - steps / 2) / steps);
        }
    }
}
#endif

#if FMA_USES_MEAN
/* The mean of all steps, on a grid of its own; the multiplier, unlike others, may be below 2^30. */
static void fma_mean_of_all(const fma_layer_t *layer, const int8_t *from, int8_t *to) {
    const int32_t channels = layer->outputs, steps = layer->steps, zeros = steps * layer->source;
    for (int32_t c = 0; c < channels; c++) {
        const int64_t sum = fma_sum_of(from + c, steps, channels) - zeros;
        const int32_t high = (int32_t)((sum * layer->multiplier + (INT32_C(1) << 30)) >> 31);
        const int32_t half = layer->shift ? INT32_C(1) << (layer->shift - 1) : 0;
        const int32_t mean = high < 0 ? -((half - high) >> layer->shift) : (high + half) >> layer->shift;
        to[c] = (int8_t)fma_clip(mean + layer->zero_point, -128);
    }
}
#endif

#endif
