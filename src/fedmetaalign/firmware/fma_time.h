/* Layers over time: activations are (steps, channels), row by row, and a layer goes from place to place of its
 * kernel. A convolution is a dense layer of what the kernel sees at a place; the others are here. Outputs may lie
 * where inputs were that no later place needs: fma_model.h says where each layer's begin. */
#ifndef FMA_TIME_H
#define FMA_TIME_H

#include <stdint.h>

#if FMA_USES_DEPTHWISE
/* Each channel has words of bias, multiplier and shift, and a weight for each step. */
static void fma_depthwise(const fma_layer_t *layer, const int8_t *from, int8_t *to) {
    const int32_t channels = layer->outputs;
    for (int32_t place = 0; place < layer->places; place++, from += layer->stride, to += channels) {
        const int32_t *words = layer->blocks;
        for (int32_t c = 0; c < channels; c++, words += 3) {
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
