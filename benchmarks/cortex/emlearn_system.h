/* What compilers say about code that is not ours is not asked for. */
#pragma GCC system_header
#include "emlearn_net.h"
