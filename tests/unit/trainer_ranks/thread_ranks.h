#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <thread>
#include <vector>

#include "tests/unit/trainer_ranks/child.h"
#include "trainer/c10d_collective.h"

namespace evilmoe {

// Runs `body` on every rank of a real group on this host, each a thread of its own.
inline void OnEachRank(int size, const std::function<void(Collective&)>& body) {
  const absl::StatusOr<ServedStore> server = ServeRankStore();
  ASSERT_TRUE(server.ok()) << server.status();
  std::vector<std::jthread> threads;
  for (int rank = 0; rank < size; ++rank) {
    threads.emplace_back([&, rank] {
      const absl::StatusOr<RankStore> store = ConnectRankStore(server->port, kPatience);
      ASSERT_TRUE(store.ok()) << store.status();
      const auto ranks = C10dCollective::Join(*store, {.rank = rank, .size = size, .deadline = kPatience});
      ASSERT_TRUE(ranks.ok()) << ranks.status();
      body(**ranks);
    });
  }
}

}  // namespace evilmoe
