#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <stop_token>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/logger.h"
#include "rollout_workers/cache_folder.h"

namespace evilmoe {

// Takes the next bytes of an adapter. Not OK: no more are wanted, and whoever sends them returns that.
using TakeChunk = std::function<absl::Status(std::string_view chunk)>;
// Sends an adapter's bytes from `offset` on, in order.
using SendAdapter = std::function<absl::Status(int64_t offset, const TakeChunk& take)>;

struct AdapterCacheOptions {
  std::filesystem::path folder;                // shared by the workers of a host; empty: none, all goes to memory
  int max_files = 8;                           // adapters that stay, >= 1; the ones used longest ago go first
  absl::Duration patience = absl::Minutes(5);  // for another worker's fetch of the same adapter; then we fetch it too
};

// Which adapter is wanted.
struct WantedAdapter {
  std::string sha256;      // of its bytes, 64 lower-case hex digits
  int64_t size_bytes = 0;  // 0 = not known
};

struct FetchedAdapter {
  std::string bytes;       // they have the hash
  int64_t num_sent = 0;    // bytes that came over the network for it, those of failed tries included
  int64_t num_cached = 0;  // bytes that were found in the folder, those of a broken transfer included
};

// Adapters of a host by the hash of their bytes: `<sha256>.safetensors` in one folder, so that several workers fetch
// each once. Who fetches holds a lock on `<sha256>.lock`; the others wait and read the file. What a broken transfer, or
// a worker that was killed, left in `<sha256>.part` is not fetched again. Every byte that comes out was hashed after it
// was read, so a damaged file costs a fetch and nothing else. Where the folder cannot be used (full disk, read-only),
// the bytes go to memory, with a warning.
//
// Thread-safe; for processes too, on a file system that has flock(2). `logger` must outlive it.
class AdapterCache {
 public:
  AdapterCache(AdapterCacheOptions options, Logger& logger) : options_(std::move(options)), logger_(logger) {}

  // Blocks for as long as `send` does, or as another worker takes. InvalidArgument: the name is no hash. DataLoss:
  // `send` twice gave bytes with another hash. Cancelled: `stop` was requested while another worker fetched. Else what
  // `send` returns.
  absl::StatusOr<FetchedAdapter> Get(const WantedAdapter& adapter, const SendAdapter& send,
                                     const std::stop_token& stop);

 private:
  absl::StatusOr<FetchedAdapter> FetchLocked(const CachedFiles& files, const WantedAdapter& adapter,
                                             const SendAdapter& send);
  // The way into memory, `begun` of it done, with a warning that says why.
  absl::StatusOr<FetchedAdapter> WithoutFolder(const absl::Status& why, const WantedAdapter& adapter,
                                               const SendAdapter& send, std::string begun);

  const AdapterCacheOptions options_;
  Logger& logger_;
};

}  // namespace evilmoe
