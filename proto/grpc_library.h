#pragma once

namespace evilmoe {

// Keeps gRPC's library up for the rest of the process. Without it, whoever lets go of gRPC's last object waits for its
// TCP poller, which may take ten seconds once a write was blocked (gRPC 1.51). Call it as often as you like.
void KeepGrpcLibrary();

}  // namespace evilmoe
