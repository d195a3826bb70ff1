#define EVILMOE_KERNELS Avx2Kernels
#define EVILMOE_KERNELS_NAME "avx2"
#define EVILMOE_LANES 8
#define EVILMOE_ROWS 6
#define EVILMOE_PANELS 1
#include "policy/sampler/kernels_impl.h"
