/* From raw values to the network's inputs, and which of them no sensor can have given. Included by fma_infer.c. */
#ifndef FMA_PREPARE_H
#define FMA_PREPARE_H

#ifndef FMA_COLUMN
#define FMA_COLUMN(input) fma_columns[input]
#endif
#ifndef FMA_CONSTANT
#define FMA_CONSTANT(feature) (feature)
#endif

#ifdef FMA_CURVES
#include "fma_curves.h"
#else
static inline float fma_encode(float raw, int feature) {
    return (raw - fma_mean[FMA_CONSTANT(feature)]) * fma_factor[FMA_CONSTANT(feature)];
}
#endif

/* Whether a sensor can have given a value; NaN is neither above nor below anything. */
static inline int fma_good(float raw, int feature) {
#ifdef FMA_RANGES
    return raw >= fma_low[feature] && raw <= fma_high[feature];
#else
    (void)feature;
    return raw >= -3.40282347e+38f && raw <= 3.40282347e+38f;
#endif
}

#ifdef FMA_LAST
void fma_last_init(fma_last_t *last) {
    for (int i = 0; i < FMA_FEATURES; i++) last->encoded[i] = FMA_FILL(i);
}
#endif

/* What a column becomes, in steps of an integer input or in standard deviations. */
static float fma_column(const float *raw, int column, int *broken FMA_LAST_PARAMETER) {
#ifdef FMA_FLAGS
    const int feature = column < FMA_FEATURES ? column : fma_flags[column - FMA_FEATURES];
#else
    const int feature = column;
#endif
    const int good = fma_good(raw[feature], feature);
    *broken += !good;
#ifdef FMA_FLAGS
    if (column >= FMA_FEATURES) return fma_encode(good ? 0.0f : 1.0f, column);
#endif
#ifdef FMA_LAST
    if (good) last->encoded[feature] = fma_encode(raw[feature], feature);
    return last->encoded[feature];
#else
    return good ? fma_encode(raw[feature], feature) : FMA_FILL(feature);
#endif
}

/* The input of a scaled value; counts those that lie outside the calibrated range. */
static inline fma_input_t fma_input(float z, int *outside) {
#if FMA_LAYERS
    const int32_t q = fma_round(FMA_FLOAT_EDGES ? z / FMA_INPUT_SCALE : z) + FMA_INPUT_ZERO_POINT;
    const int32_t inside = fma_clip(q, -128);
    *outside += q != inside;
#else
    (void)outside;
#endif
#if FMA_FLOAT_EDGES
    return z;
#else
    return (fma_input_t)(inside + FMA_EDGE_OFFSET);
#endif
}

int fma_prepare(const float *raw, fma_input_t *input FMA_LAST_PARAMETER) {
    int outside = 0, broken = 0;
    FMA_ROLLED
    for (int i = 0; i < FMA_INPUTS; i++) {
        const int column = FMA_COLUMN(i);
        const float z = column < 0 ? 0.0f : fma_column(raw, column, &broken FMA_LAST_ARGUMENT);
        input[i] = fma_input(z, &outside);
    }
    return broken ? -broken : outside;
}

#ifdef FMA_RAW_WINDOW
int fma_prepare_one(const float *value, int channel, fma_input_t *input) {
    const int good = fma_good(*value, channel);
    int outside = 0;
    *input = fma_input(good ? fma_encode(*value, channel) : FMA_FILL(channel), &outside);
    return good;
}
#endif

#endif
