#include "proto/grpc_library.h"

#include <grpc/grpc.h>

namespace evilmoe {

void KeepGrpcLibrary() { grpc_init(); }  // never undone

}  // namespace evilmoe
