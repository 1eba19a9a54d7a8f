/* The fault classifier of one device. fma_model.h, made for the device, says what goes in and comes out:
 *
 *     fma_input_t   uint8_t, int8_t or float: one input of the network
 *     fma_score_t   uint8_t (0 is 0, 256 would be 1), int8_t (128 less), or float in [0, 1]
 *     FMA_FEATURES  raw features, FMA_INPUTS inputs
 *     FMA_CLASSES   classes, where it tells more than two apart
 *
 * Nothing is allocated; static RAM takes three bytes for each output of the widest layer, and five for each class,
 * so that one call at a time may run. Scores are the same to the last bit on all machines. */
#ifndef FMA_INFER_H
#define FMA_INFER_H

#include "fma_model.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Scales FMA_FEATURES raw values and, where the network takes integers, puts them on its grid. Returns how many
 * of the FMA_INPUTS inputs lie outside the range that the network was calibrated on, where it saturates; NaN is
 * among them. A network that is all float has no such range: 0, and of NaN it makes NaN, which is no fault. */
int fma_prepare(const float *raw, fma_input_t *input);

#ifdef FMA_CLASSES

/* The probabilities of the classes, in the order of fma_model.h. */
void fma_scores(const fma_input_t *input, fma_score_t *scores);

/* 1 if the probability of a fault, which is 1 less those of the normal classes, is strictly above the threshold. */
int fma_fault(const fma_score_t *scores);

/* The likeliest class of those that mean a fault; of equals the first. */
int fma_kind(const fma_score_t *scores);

/* All in one: stores the FMA_CLASSES scores of raw values and the likeliest fault; returns whether it is one. */
int fma_classify(const float *raw, fma_score_t *scores, int *kind);

#else

/* The probability of a fault. */
fma_score_t fma_score(const fma_input_t *input);

/* 1 if the score is strictly above the threshold, else 0. */
int fma_fault(fma_score_t score);

/* All three in one: stores the score of raw values, and returns whether it is a fault. */
int fma_classify(const float *raw, fma_score_t *score);

#endif

#if FMA_TRUNK
/* The FMA_TRUNK_OUTPUTS outputs of the layers that stay as they are when the device learns (fma_adapt.h). */
void fma_trunk(const fma_input_t *input, int8_t *output);
#endif

#ifdef __cplusplus
}
#endif

#endif
