/* See fma_infer.h. Prepares raw values, takes them through the network, and decides. */

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
#include "fma_layers.h"
#endif
#if FMA_FLOAT_LAYERS
#include "fma_float_layers.h"
#endif
#include "fma_prepare.h"

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
