/* fma_softmax with arguments that travel alike on every machine: four addresses. */
#include "fma_softmax.h"

void softmax_rows(const fma_softmax_t *how, const int32_t *shape, const int8_t *logits, uint8_t *scores);

void softmax_rows(const fma_softmax_t *how, const int32_t *shape, const int8_t *logits, uint8_t *scores) {
    static int32_t powers[64];
    for (int32_t row = 0; row < shape[0]; row++) {
        fma_softmax(how, logits + row * shape[1], shape[1], powers, scores + row * shape[1]);
    }
}
