/* Learning from the windows of a stream, as the firmware's README has it. */
#include "fma_front.h"
#include "fma_learn.h"
int learn_windows(fma_adapt_t *state, const float *samples, const uint8_t *labels, int count);
int learn_windows(fma_adapt_t *state, const float *samples, const uint8_t *labels, int count)
{
    static fma_stream_t stream;
    int learned = 0;
    fma_stream_init(&stream);
    fma_adapt_init(state, 1e-3f, 0.5f);
    for (; count--; samples += FMA_SAMPLE) {
        fma_score_t score;
        if (fma_push(&stream, samples, &score) != FMA_NONE) {
            float features[FMA_FEATURES];
            fma_features(&stream, features);
            learned += fma_learn(state, features, *labels++);
        }
    }
    fma_adapt_choose(state);
    return learned;
}
