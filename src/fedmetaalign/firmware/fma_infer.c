/* See fma_infer.h. The integers are those of TensorFlow Lite Micro: int8 activations and weights, int32 sums,
 * and gemmlowp's rounding (Jacob et al. 2018, "Quantization and Training of Neural Networks for Efficient
 * Integer-Arithmetic-Only Inference"). */

#include "fma_float.h" /* first of all, for it turns fused multiply-adds off */

#define FMA_MODEL_DATA
#include "fma_infer.h"

#if defined(__clang__)
#define FMA_ROLLED _Pragma("clang loop unroll(disable)") /* a few instructions more, and half the code */
#else
#define FMA_ROLLED
#endif

#ifdef FMA_CLASSES
#include "fma_softmax.h"
#endif

#if FMA_LAYERS

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
    for (int i = 0; i < 4; i++) {
        const int32_t multiplier = FMA_PER_CHANNEL ? block[4 + i] : layer->multiplier;
        const int32_t shift = FMA_PER_CHANNEL ? block[8] >> 8 * i & 31 : layer->shift;
        const int32_t q = fma_scale(block[i] + sums[i], multiplier, shift, layer->zero_point);
        units[i] = (int8_t)(FMA_RELU_CLIPS ? fma_clip(q, layer->lowest) : q);
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

#if FMA_FLOAT_LAYERS

#ifndef FMA_FLOAT_INPUTS
#define FMA_FLOAT_INPUTS fma_float_sizes[0]
#endif

/* Takes real numbers through a float layer; four outputs at a time need an input only once. */
static void fma_dense(const float *weights, const float *x, int32_t inputs, int32_t outputs, int relu,
                      float *y) {
    const float *const biases = weights + inputs * outputs;
    int32_t o = 0;
    for (; o + 4 <= outputs; o += 4) {
        float s0 = 0.0f, s1 = 0.0f, s2 = 0.0f, s3 = 0.0f;
        const float *row = weights + o;
        FMA_ROLLED
        for (int32_t i = 0; i < inputs; i++, row += outputs) {
            s0 += x[i] * row[0];
            s1 += x[i] * row[1];
            s2 += x[i] * row[2];
            s3 += x[i] * row[3];
        }
        y[o] = s0;
        y[o + 1] = s1;
        y[o + 2] = s2;
        y[o + 3] = s3;
    }
    for (; o < outputs; o++) {
        y[o] = 0.0f;
        FMA_ROLLED
        for (int32_t i = 0; i < inputs; i++) y[o] += x[i] * weights[i * outputs + o];
    }
    FMA_ROLLED
    for (o = 0; o < outputs; o++) {
        y[o] += biases[o];
        if (relu && y[o] < 0.0f) y[o] = 0.0f;
    }
}

#if defined(FMA_FLOAT_TABLE) && !FMA_LAYERS
#include "fma_time.h"
#endif

/* What the last float layer makes of real numbers; both buffers are overwritten. */
static const float *fma_float_run(float *x, float *y) {
    const float *weights = fma_float_weights;
    for (int layer = 0; layer < FMA_FLOAT_LAYERS; layer++) {
#ifdef FMA_FLOAT_TABLE
        float *const swap = x;
        weights = fma_float_layer(&fma_float_layers[layer], weights, x, y);
#else
        const int32_t inputs = fma_float_sizes[layer], outputs = fma_float_sizes[layer + 1];
        float *const swap = x;
        fma_dense(weights, x, inputs, outputs, fma_float_relu[layer], y);
        weights += (inputs + 1) * outputs;
#endif
        x = y;
        y = swap;
    }
    return x;
}

static const float *fma_logits(const fma_input_t *input) {
    static float x[FMA_FLOAT_UNITS], y[FMA_FLOAT_UNITS];
#if FMA_LAYERS
    fma_run(input, FMA_LAYERS);
#endif
    FMA_ROLLED
    for (int32_t i = 0; i < FMA_FLOAT_INPUTS; i++) {
#if FMA_LAYERS
        x[i] = (float)(fma_units[i] - FMA_HEAD_ZERO_POINT) * FMA_HEAD_SCALE;
#else
        x[i] = input[i];
#endif
    }
    return fma_float_run(x, y);
}

#endif

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

/* What is said of a score, where `prepared` is what fma_prepare has returned. */
static inline int fma_said(int prepared, int fault) {
    if (prepared < 0 && (FMA_STRICT || fault != FMA_FAULT)) return FMA_SENSOR_FAULT;
    return fault;
}

#ifdef FMA_CLASSES

void fma_scores(const fma_input_t *input, fma_score_t *scores) {
#if FMA_FLOAT_LAYERS
    fma_float_softmax(fma_logits(input), FMA_CLASSES, scores);
#else
    static const fma_softmax_t how = FMA_SOFTMAX;
    static int32_t powers[FMA_CLASSES];
    static uint8_t probabilities[FMA_CLASSES];
    fma_run(input, FMA_LAYERS);
    fma_softmax(&how, fma_units, FMA_CLASSES, powers, probabilities);
    for (int i = 0; i < FMA_CLASSES; i++) {
#if FMA_FLOAT_EDGES
        scores[i] = (float)probabilities[i] / 256.0f;
#else
        scores[i] = (fma_score_t)(probabilities[i] + FMA_EDGE_OFFSET - 128);
#endif
    }
#endif
}

int fma_fault(const fma_score_t *scores) {
#if FMA_FLOAT_EDGES || FMA_FLOAT_LAYERS
    float normal = 0.0f;
    const float one = 1.0f, offset = 0.0f;
#else
    int normal = 0;
    const int one = 256, offset = 128 - FMA_EDGE_OFFSET;
#endif
    for (int i = 0; i < FMA_CLASSES; i++) {
        if (fma_normal[i]) normal += scores[i] + offset;
    }
#if FMA_FLOAT_LAYERS
    if (normal != normal) return FMA_SENSOR_FAULT;
#endif
    return one - normal > fma_threshold;
}

int fma_kind(const fma_score_t *scores) {
    int kind = -1;
    for (int i = 0; i < FMA_CLASSES; i++) {
        if (!fma_normal[i] && (kind < 0 || scores[i] > scores[kind])) kind = i;
    }
    return kind;
}

int fma_classify(const float *raw, fma_score_t *scores, int *kind FMA_LAST_PARAMETER) {
    fma_input_t input[FMA_INPUTS];
    const int prepared = fma_prepare(raw, input FMA_LAST_ARGUMENT);
    fma_scores(input, scores);
    *kind = fma_kind(scores);
    return fma_said(prepared, fma_fault(scores));
}

#else

fma_score_t fma_score(const fma_input_t *input) {
#if FMA_FLOAT_LAYERS
    return fma_sigmoid(fma_logits(input)[0]);
#else
    fma_run(input, FMA_LAYERS);
#if FMA_FLOAT_EDGES
    return (float)fma_logistic[fma_units[0] + 128] / 256.0f;
#else
    return fma_logistic[fma_units[0] + 128];
#endif
#endif
}

int fma_fault(fma_score_t score) {
#if FMA_FLOAT_LAYERS
    if (score != score) return FMA_SENSOR_FAULT;
#endif
    return score > fma_threshold;
}

int fma_classify(const float *raw, fma_score_t *score FMA_LAST_PARAMETER) {
    fma_input_t input[FMA_INPUTS];
    const int prepared = fma_prepare(raw, input FMA_LAST_ARGUMENT);
    *score = fma_score(input);
    return fma_said(prepared, fma_fault(*score));
}

#endif

#if FMA_TRUNK
void fma_trunk(const fma_input_t *input, int8_t *output) {
    fma_run(input, FMA_TRUNK);
#ifdef FMA_TIME
    for (int32_t i = 0; i < FMA_TRUNK_UNITS; i++) output[i] = fma_units[fma_layers[FMA_TRUNK - 1].to + i];
#else
    for (int32_t i = 0; i < fma_layers[FMA_TRUNK - 1].outputs; i++) output[i] = fma_units[i];
#endif
}

#endif
