/* Replays the golden vectors of fma_golden.h, and returns how many came out differently (255 at most, since an
 * exit status has a byte): 0 if this device computes what the bundle promises. */

#include "fma_golden.h"

#ifdef FMA_HOSTED
#include <stdio.h>
#endif

#ifdef FMA_LAST
static fma_last_t state, *const last = &state;
#endif

static int same(int row) {
    fma_input_t input[FMA_INPUTS];
    int good;
#ifdef FMA_CLASSES
    fma_score_t scores[FMA_CLASSES];
    int kind;
    good = fma_classify(fma_golden_raw[row], scores, &kind FMA_LAST_ARGUMENT) == fma_golden_decisions[row];
    good &= kind == fma_golden_kinds[row];
    for (int i = 0; i < FMA_CLASSES; i++) good &= scores[i] == fma_golden_scores[row][i];
#else
    fma_score_t score;
    good = fma_classify(fma_golden_raw[row], &score FMA_LAST_ARGUMENT) == fma_golden_decisions[row];
    good &= score == fma_golden_scores[row];
#endif
    fma_prepare(fma_golden_raw[row], input FMA_LAST_ARGUMENT);
    for (int i = 0; i < FMA_INPUTS; i++) good &= input[i] == fma_golden_inputs[row][i];
    return good;
}

#ifdef FMA_GOLDEN_WINDOWS
/* Whether a window gives the features of a row, and they the decision. */
static int same_window(int window, int row) {
    static fma_stream_t stream;
    const float *const samples = fma_golden_windows[window];
    int good = 1, said = FMA_NONE;
    fma_stream_init(&stream);
#ifdef FMA_LAST
    for (int i = 0; i < FMA_FEATURES; i++) stream.last.encoded[i] = last->encoded[i];
#endif
    for (int i = 0; i < FMA_WINDOW * FMA_SAMPLE; i += FMA_SAMPLE) {
#ifdef FMA_CLASSES
        fma_score_t scores[FMA_CLASSES];
        int kind;
        good &= said == FMA_NONE;
        said = fma_push(&stream, samples + i, scores, &kind);
#else
        fma_score_t score;
        good &= said == FMA_NONE;
        said = fma_push(&stream, samples + i, &score);
#endif
    }
#ifdef FMA_RAW_WINDOW
    for (int i = 0; i < FMA_INPUTS; i++) good &= stream.window[i] == fma_golden_inputs[row][i];
#else
    {
        static float features[FMA_FEATURES];
        fma_features(&stream, features);
        for (int i = 0; i < FMA_FEATURES; i++) {
            const float found = features[i], expected = fma_golden_raw[row][i];
            good &= found == expected || (found != found && expected != expected);
        }
    }
#endif
    return good && said == fma_golden_decisions[row];
}
#endif

int main(void) {
    int wrong = 0;
#ifdef FMA_LAST
    fma_last_init(last);
#endif
    for (int row = 0; row < FMA_GOLDEN_ROWS; row++) {
        int good = 1;
#ifdef FMA_GOLDEN_WINDOWS
        const int window = row - (FMA_GOLDEN_ROWS - FMA_GOLDEN_WINDOWS);
        if (window >= 0) good = same_window(window, row);
#endif
        wrong += !(good & same(row));
    }
#ifdef FMA_HOSTED
    printf("%d of %d golden vectors came out differently.\n", wrong, FMA_GOLDEN_ROWS);
#endif
    return wrong < 255 ? wrong : 255;
}
