#define EVILMOE_KERNELS Avx2FusedKernels
#define EVILMOE_KERNELS_NAME "avx2"
#define EVILMOE_LANES 8
#define EVILMOE_ROWS 6
#define EVILMOE_PANELS 1
#include "policy/fused/kernels_impl.h"
