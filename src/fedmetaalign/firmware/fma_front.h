/* From samples of a signal to decisions: windows, the features of each, and what fma_infer.c says of them.
 *
 *     static fma_stream_t stream;              // one for each signal
 *     fma_stream_init(&stream);
 *     for each sample, FMA_SAMPLE values in the order of fma_signal.h:
 *         said = fma_push(&stream, sample, &score);
 *         if (said != FMA_NONE) ...            // every FMA_STRIDE samples
 *
 * All memory is the stream, and static buffers that streams share: one call at a time may run. fma_signal.h says
 * how much. Features are the same to the last bit on all machines. */
#ifndef FMA_FRONT_H
#define FMA_FRONT_H

#include "fma_infer.h"
#include "fma_signal.h"

#ifdef __cplusplus
extern "C" {
#endif

#define FMA_NONE (-1) /* no window has ended */

typedef struct {
#ifdef FMA_RAW_WINDOW
    fma_input_t window[FMA_INPUTS]; /* sample after sample, as the network takes them */
#else
    float window[FMA_WINDOW * FMA_CHANNELS]; /* sample after sample; NaN for what is broken */
#endif
    int32_t next;                            /* place of the next sample; below 0, that many are left out */
    int32_t broken[FMA_CHANNELS];            /* place after the last broken sample, or 0 */
#ifdef FMA_SPEEDS
    float speed; /* sum over the last FMA_SPEEDS samples of the window */
#endif
#ifdef FMA_LAST
    fma_last_t last;
#endif
} fma_stream_t;

#ifdef FMA_CLASSES
#define FMA_KIND_PARAMETER , int *kind
#define FMA_KIND_ARGUMENT , kind
#else
#define FMA_KIND_PARAMETER
#define FMA_KIND_ARGUMENT
#endif

void fma_stream_init(fma_stream_t *stream);

/* Takes one sample: the channels, and then the shaft's speed where fma_signal.h has one; NaN for a value that a
 * sensor did not give. Returns FMA_NONE, or where a window ends with it FMA_NORMAL, FMA_FAULT or FMA_SENSOR_FAULT,
 * and stores what fma_classify stores: the score, or the FMA_CLASSES scores and the likeliest fault. */
int fma_push(fma_stream_t *stream, const float *sample, fma_score_t *score FMA_KIND_PARAMETER);

/* Whether the window that has just ended has a broken sample: do not learn from it. */
int fma_broken(const fma_stream_t *stream);

#ifndef FMA_RAW_WINDOW
/* Stores the FMA_FEATURES features of the window that has just ended: to learn from (fma_learn.h), or to log. Where
 * the network takes the samples themselves, stream->window is its input. */
void fma_features(const fma_stream_t *stream, float *features);
#endif

#ifdef __cplusplus
}
#endif

#endif
