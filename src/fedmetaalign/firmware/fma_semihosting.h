/* What startup.c offers to a program that runs under a debugger or in QEMU. The result of main is the exit
 * status. */
#ifndef FMA_SEMIHOSTING_H
#define FMA_SEMIHOSTING_H

void fma_print(const char *text);

#endif
