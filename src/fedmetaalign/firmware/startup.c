/* The start of a program on a bare Cortex-M core, and its way out through semihosting (a debugger or QEMU). */
#include "fma_semihosting.h"

#include <stdint.h>

extern uint32_t _stack[], _data[], _data_end[], _bss[], _bss_end[]; /* addresses, from the link script */
extern const uint32_t _data_load[];

int main(void);
void reset_handler(void);

enum { SYS_WRITE0 = 0x04, SYS_EXIT_EXTENDED = 0x20 };
static const uint32_t application_exit = 0x20026;

static void semihosting(uint32_t operation, const void *argument) {
    register uint32_t r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
}

void fma_print(const char *text) {
    semihosting(SYS_WRITE0, text);
}

static void stop(uint32_t status) {
    const uint32_t reason[2] = {application_exit, status};
    for (;;) semihosting(SYS_EXIT_EXTENDED, reason);
}

static void fault_handler(void) {
    fma_print("The processor took a fault.\n");
    stop(1);
}

void reset_handler(void) {
#ifdef __ARM_FP
    volatile uint32_t *const cpacr = (volatile uint32_t *)0xE000ED88; /* coprocessor access control */
    *cpacr |= 0xFu << 20;
    __asm__ volatile("dsb\n isb" ::: "memory");
#endif
    const uint32_t *source = _data_load;
    for (uint32_t *word = _data; word < _data_end; word++) *word = *source++;
    for (uint32_t *word = _bss; word < _bss_end; word++) *word = 0;
    stop((uint32_t)main());
}

struct vectors {
    uint32_t *stack;
    void (*handlers[15])(void); /* reset, NMI, hard fault, ...; interrupts stay off */
};

extern const struct vectors vectors;
__attribute__((section(".vectors"), used)) const struct vectors vectors = {
    _stack,
    {reset_handler, fault_handler, fault_handler, fault_handler, fault_handler, fault_handler, fault_handler},
};
