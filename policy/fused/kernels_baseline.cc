#define EVILMOE_KERNELS BaselineFusedKernels
#define EVILMOE_KERNELS_NAME "baseline"
#define EVILMOE_LANES 4
#define EVILMOE_ROWS 2
#define EVILMOE_PANELS 1
#include "policy/fused/kernels_impl.h"
