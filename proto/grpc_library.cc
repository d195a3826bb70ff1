#include "proto/grpc_library.h"

#include <grpc/grpc.h>

#include "absl/synchronization/mutex.h"

namespace evilmoe {

void KeepGrpcLibrary() {
  grpc_init();  // never undone
  // Debian's Abseil looks for deadlocks at every lock that gRPC takes: a twentieth of a coordinator's time under load.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
}

}  // namespace evilmoe
