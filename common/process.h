#pragma once

#include <filesystem>
#include <stop_token>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/clock.h"

namespace evilmoe {

// What every daemon does around its work.

// Blocks SIGTERM and SIGINT in this thread and all it starts; call it first in main().
void BlockStopSignals();
// Waits for one of them, then requests the stop. Call it on a thread of its own after BlockStopSignals(); returns when
// a signal came or `cancel` was requested.
void AwaitStopSignal(std::stop_source& stop, const std::stop_token& cancel);
// Waits for one of them for a while; says whether one came. False too when `cancel` was requested.
bool AwaitStopSignalFor(absl::Duration timeout, const std::stop_token& cancel);

// Of this machine, as a worker or trainer says it; "" where there is none.
std::string HostName();
// "<name>-<pid>-<milliseconds>": unique to this process's life; started again it is another life of the same name.
std::string LifeId(const std::string& name, const Clock& clock);

// Writes {"pid", "metrics_port"} so that whoever started the process knows that it serves; and "ports", one an address
// that it listens at, where it does: of an address with port 0 the one that was taken, of a Unix socket any; and
// "page_port", where it serves a page. An empty path: nothing.
absl::Status WriteReadyFile(const std::filesystem::path& path, int metrics_port, const std::vector<int>& ports = {},
                            int page_port = 0);

}  // namespace evilmoe
