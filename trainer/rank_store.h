#pragma once

#include <torch/csrc/distributed/c10d/Store.hpp>

#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace evilmoe {

// Where the ranks of one host find each other: a key-value store, served by the process that started them.

// One client a rank: a call that waits for a key keeps the others of its client waiting.
using RankStore = c10::intrusive_ptr<c10d::Store>;

struct ServedStore {
  RankStore store;  // serves for as long as it lives
  uint16_t port = 0;
};

// Serves on a port of 127.0.0.1 that the system picks; nothing outside the host reaches it. Unavailable.
absl::StatusOr<ServedStore> ServeRankStore();

// A client of the store on this host's `port`. `timeout` bounds the connection and each later call. Unavailable.
absl::StatusOr<RankStore> ConnectRankStore(uint16_t port, absl::Duration timeout);

}  // namespace evilmoe
