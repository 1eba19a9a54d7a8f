/* Layers of integers, one after the other, in one buffer. They are those of TensorFlow Lite Micro: int8 activations
 * and weights, int32 sums, and gemmlowp's rounding (Jacob et al. 2018, "Quantization and Training of Neural Networks
 * for Efficient Integer-Arithmetic-Only Inference"). Included by fma_infer.c. */
#ifndef FMA_LAYERS_H
#define FMA_LAYERS_H

#ifndef FMA_PAIRS
#define FMA_PAIRS 0 /* whether weights lie as fma_pairs.h takes them */
#endif
#include "fma_dsp.h"

#ifndef FMA_STEPS
#define FMA_STEPS (FMA_UNITS / 4) /* of four inputs, of the widest layer */
#endif
#ifndef FMA_INPUTS_AT
#define FMA_INPUTS_AT 0
#endif

static int8_t fma_units[FMA_UNITS]; /* the inputs, and then the outputs of one layer after another */

static inline int32_t fma_clip(int32_t value, int32_t lowest) {
    return value < lowest ? lowest : value > 127 ? 127 : value;
}

/* Sums a block's products, in parts where layers are wide; returns the next block. */
static inline const int32_t *fma_sum(const int32_t *weights, const fma_step_t *x, int32_t steps, int bits,
                                     int32_t sums[4]) {
    for (int i = 0; i < 4; i++) sums[i] = 0;
    do {
        const int32_t part = FMA_STEPS > FMA_MOST_STEPS && steps > FMA_MOST_STEPS ? FMA_MOST_STEPS : steps;
        int32_t parts[4]; /* times 2^bits, or as they are */
        weights = bits == 4 ? fma_dot_4(weights, x, part, parts) : fma_dot_8(weights, x, part, parts);
        for (int i = 0; i < 4; i++) sums[i] += FMA_PAIRS ? parts[i] : parts[i] >> bits;
        x += part;
        steps -= part;
    } while (steps > 0);
    return weights;
}

/* Scales a sum down as gemmlowp does: the high half of the doubled product with a 31-bit multiplier, rounded
 * half up, and a shift that rounds half away from zero. */
static inline int32_t fma_scale(int32_t sum, int32_t multiplier, int32_t shift, int32_t zero_point) {
    const int32_t high = fma_multiply(sum, multiplier);
#if FMA_SMALLEST_SHIFT == 0
    if (shift == 0) return fma_clip(high + zero_point, -128);
#endif
    return fma_halve(((high + (high >> 31)) >> (shift - 1)) + 1 + 2 * zero_point);
}

static fma_step_t fma_packed[FMA_STEPS];

/* Makes four outputs of a block's sums. */
static inline void fma_finish(const fma_layer_t *layer, const int32_t *block, const int32_t sums[4], int8_t *units) {
    const int32_t zero_point = layer->zero_point, lowest = layer->lowest;
    for (int i = 0; i < 4; i++) {
        const int32_t multiplier = FMA_PER_CHANNEL ? block[4 + i] : layer->multiplier;
        const int32_t shift = FMA_PER_CHANNEL ? block[8] >> 8 * i & 31 : layer->shift;
        const int32_t q = fma_scale(block[i] + sums[i], multiplier, shift, zero_point);
        units[i] = (int8_t)(FMA_RELU_CLIPS ? fma_clip(q, lowest) : q);
    }
}

/* Takes units through a layer; outputs, which are written four at a time, may lie where the inputs do. */
static inline void fma_run_dense(const fma_layer_t *which, const int8_t *from, int8_t *to) {
    const fma_layer_t layer = *which;
    const int bits = FMA_4_BITS && FMA_8_BITS ? layer.bits : FMA_4_BITS ? 4 : 8;
    const int32_t *next = layer.blocks;
    FMA_ROLLED
    for (int32_t i = 0; i < layer.steps; i++, from += 4) fma_packed[i] = fma_pack(from);
    for (int8_t *units = to; units < to + layer.outputs; units += 4) {
        const int32_t *const block = next;
        int32_t sums[4];
        next = fma_sum(block + FMA_BLOCK_HEAD, fma_packed, layer.steps, bits, sums);
        fma_finish(&layer, block, sums, units);
    }
}

#ifdef FMA_TIME
#include "fma_time.h"

#if FMA_PAIRS
/* Takes places of a convolution's kernel, which see some of the same inputs, through it. */
static inline void fma_run_wide(const fma_layer_t *which, int32_t places, const int8_t *from, int8_t *to) {
    const fma_layer_t layer = *which;
    const int32_t *x = (int32_t *)fma_packed;
    fma_widen(from, (places - 1) * layer.stride + 4 * layer.steps, (int32_t *)fma_packed);
    for (; places; places--, x += layer.stride, to += layer.outputs) {
        const int32_t *next = layer.blocks;
        for (int8_t *units = to; units < to + layer.outputs; units += 4) {
            const int32_t *const block = next;
            int32_t sums[4];
            next = fma_dot_wide(block + FMA_BLOCK_HEAD, x, layer.steps, sums);
            fma_finish(&layer, block, sums, units);
        }
    }
}
#endif

#ifdef FMA_HAS_TWO_PLACES
/* Takes two places of a convolution's kernel through it. */
static inline void fma_run_two(const fma_layer_t *which, const int8_t *from, int8_t *to) {
    const fma_layer_t layer = *which;
    const int32_t *block = layer.blocks;
    FMA_ROLLED
    for (int32_t i = 0; i < layer.steps; i++, from += 4) {
        fma_packed[2 * i] = fma_pack(from);
        fma_packed[2 * i + 1] = fma_pack(from + layer.stride);
    }
    for (int8_t *units = to; units < to + layer.outputs; units += 4, block += FMA_BLOCK_HEAD + 4 * layer.steps) {
        const int32_t *const weights = block + FMA_BLOCK_HEAD;
        int32_t low[4], high[4];
        fma_dot_two(weights, fma_packed, layer.steps, low);
        fma_dot_two(weights + 2, fma_packed, layer.steps, high);
        const int32_t first[4] = {low[0] >> 8, low[2] >> 8, high[0] >> 8, high[2] >> 8};
        const int32_t second[4] = {low[1] >> 8, low[3] >> 8, high[1] >> 8, high[3] >> 8};
        fma_finish(&layer, block, first, units);
        fma_finish(&layer, block, second, units + layer.outputs);
    }
}
#endif

#endif

/* Takes fma_units through a layer. */
static void fma_run_layer(const fma_layer_t *layer) {
#ifdef FMA_TIME
    const int8_t *from = fma_units + layer->from;
    int8_t *to = fma_units + layer->to;
    int32_t places;
    switch (layer->kind) {
#if FMA_USES_DEPTHWISE
        case FMA_DEPTHWISE:
            fma_depthwise(layer, from, to);
            break;
#endif
#if FMA_USES_MAX
        case FMA_MAX:
            fma_max(layer, from, to);
            break;
#endif
#if FMA_USES_AVERAGE
        case FMA_AVERAGE:
            fma_average(layer, from, to);
            break;
#endif
#if FMA_USES_MEAN
        case FMA_MEAN:
            fma_mean_of_all(layer, from, to);
            break;
#endif
        default:
            places = layer->places;
#if FMA_PAIRS
            if (layer->bits == 16) {
                for (; places > 0; places -= 2, from += 2 * layer->stride, to += 2 * layer->outputs) {
                    fma_run_wide(layer, places > 1 ? 2 : 1, from, to);
                }
                break;
            }
#endif
#ifdef FMA_HAS_TWO_PLACES
            if (layer->outputs % 4 == 0 && layer->steps <= FMA_MOST_STEPS && layer->bits == 8) {
                for (; places > 1; places -= 2, from += 2 * layer->stride, to += 2 * layer->outputs) {
                    fma_run_two(layer, from, to);
                }
            }
#endif
            for (; places; places--, from += layer->stride, to += layer->outputs) {
                fma_run_dense(layer, from, to);
            }
    }
#else
    fma_run_dense(layer, fma_units, fma_units);
#endif
}

/* A real number as an integer, ties away from zero. What is far outside of int8 saturates, as does NaN. */
static int32_t fma_round(float x) {
    int32_t whole;
    float rest;
    if (!(x > -1000.0f)) return -1000;
    if (x > 1000.0f) return 1000;
    whole = (int32_t)x;
    rest = x - (float)whole;
    return whole + (rest >= 0.5f) - (rest <= -0.5f);
}

static void fma_run(const fma_input_t *input, int layers) {
    int8_t *const units = fma_units + FMA_INPUTS_AT;
    FMA_ROLLED
    for (int i = 0; i < FMA_INPUTS; i++) {
#if FMA_FLOAT_EDGES
        units[i] = (int8_t)fma_clip(fma_round(input[i] / FMA_INPUT_SCALE) + FMA_INPUT_ZERO_POINT, -128);
#else
        units[i] = (int8_t)(input[i] - FMA_EDGE_OFFSET);
#endif
    }
    for (int i = 0; i < layers; i++) fma_run_layer(&fma_layers[i]);
}

#endif
