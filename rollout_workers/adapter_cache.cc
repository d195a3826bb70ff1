#include "rollout_workers/adapter_cache.h"

#include <chrono>
#include <optional>

#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "common/hash.h"
#include "common/status_macros.h"
#include "rollout_workers/cache_folder.h"
#include "rollout_workers/retry_pause.h"

namespace evilmoe {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kMaxBytes = int64_t{2} << 30;  // as the coordinator's
constexpr absl::Duration kLook = absl::Milliseconds(50);
constexpr int kRounds = 2;

int64_t MaxBytes(const WantedAdapter& adapter) { return adapter.size_bytes > 0 ? adapter.size_bytes : kMaxBytes; }

absl::Status WrongBytes(const WantedAdapter& adapter) {
  return absl::DataLossError(absl::StrCat("adapter ", adapter.sha256, ": what came has another hash, ", kRounds,
                                          " times; expected bytes of that hash"));
}

// Where a transfer goes.
class Sink {
 public:
  virtual ~Sink() = default;
  virtual int64_t size() const = 0;
  virtual absl::Status Append(std::string_view bytes) = 0;
  virtual absl::Status Clear() = 0;
  virtual absl::StatusOr<std::string> ReadAll() = 0;
};

class MemorySink final : public Sink {
 public:
  explicit MemorySink(std::string bytes) : bytes_(std::move(bytes)) {}
  int64_t size() const override { return static_cast<int64_t>(bytes_.size()); }
  absl::Status Append(std::string_view bytes) override {
    bytes_.append(bytes);
    return absl::OkStatus();
  }
  absl::Status Clear() override {
    bytes_.clear();
    return absl::OkStatus();
  }
  absl::StatusOr<std::string> ReadAll() override { return std::move(bytes_); }

 private:
  std::string bytes_;
};

// Remembers that it failed, which is the disk's fault and not the sender's.
class FileSink final : public Sink {
 public:
  FileSink(PartFile file, const fs::path& path) : file_(std::move(file)), path_(path) {}
  int64_t size() const override { return file_.size(); }
  absl::Status Append(std::string_view bytes) override { return Note(file_.Append(bytes)); }
  absl::Status Clear() override { return Note(file_.Clear()); }
  absl::StatusOr<std::string> ReadAll() override {
    absl::StatusOr<std::string> bytes = ReadFile(path_, kMaxBytes);
    EVILMOE_RETURN_IF_ERROR(Note(bytes.status()));
    return bytes;
  }
  const absl::Status& failure() const { return failure_; }

 private:
  absl::Status Note(absl::Status status) {
    failure_.Update(status);
    return status;
  }
  PartFile file_;
  const fs::path& path_;
  absl::Status failure_;
};

// One transfer, which goes on at the end of `sink`. OutOfRange: what the sink had, or what came, cannot be the adapter.
absl::Status Transfer(const WantedAdapter& adapter, const SendAdapter& send, Sink& sink, int64_t& num_sent) {
  const int64_t offset = sink.size();
  if (adapter.size_bytes > 0 && offset == adapter.size_bytes) return absl::OkStatus();
  bool too_long = false;
  const absl::Status sent = send(offset, [&](std::string_view chunk) -> absl::Status {
    num_sent += static_cast<int64_t>(chunk.size());
    too_long = sink.size() + static_cast<int64_t>(chunk.size()) > MaxBytes(adapter);
    if (too_long) return absl::OutOfRangeError("longer than the adapter");
    return sink.Append(chunk);
  });
  if (too_long || (offset > 0 && absl::IsInvalidArgument(sent))) return absl::OutOfRangeError("not the adapter");
  return sent;
}

// Until the sink has bytes with the hash, kRounds times at most; a round that ends in others is followed by a fresh
// one.
absl::Status FetchInto(Sink& sink, const WantedAdapter& adapter, const SendAdapter& send, FetchedAdapter& fetched) {
  fetched.num_cached = sink.size();
  for (int round = 0; round < kRounds; ++round) {
    const absl::Status transferred = Transfer(adapter, send, sink, fetched.num_sent);
    if (transferred.ok()) {
      EVILMOE_ASSIGN_OR_RETURN(fetched.bytes, sink.ReadAll());
      if (Sha256Hex(fetched.bytes) == adapter.sha256) return absl::OkStatus();
    } else if (!absl::IsOutOfRange(transferred)) {
      return transferred;
    }
    fetched.num_cached = 0;
    EVILMOE_RETURN_IF_ERROR(sink.Clear());
  }
  return WrongBytes(adapter);
}

absl::StatusOr<FetchedAdapter> FetchToMemory(const WantedAdapter& adapter, const SendAdapter& send, std::string begun) {
  MemorySink sink(std::move(begun));
  FetchedAdapter fetched;
  EVILMOE_RETURN_IF_ERROR(FetchInto(sink, adapter, send, fetched));
  return fetched;
}

// The cached file; nullopt where there is none, or where it is damaged.
std::optional<FetchedAdapter> ReadCached(const CachedFiles& files, const WantedAdapter& adapter) {
  absl::StatusOr<std::string> bytes = ReadFile(files.whole, kMaxBytes);
  if (!bytes.ok() || Sha256Hex(*bytes) != adapter.sha256) return std::nullopt;
  Touch(files.whole);
  const auto size = static_cast<int64_t>(bytes->size());
  return FetchedAdapter{.bytes = *std::move(bytes), .num_cached = size};
}

}  // namespace

// Under the adapter's lock.
absl::StatusOr<FetchedAdapter> AdapterCache::FetchLocked(const CachedFiles& files, const WantedAdapter& adapter,
                                                         const SendAdapter& send) {
  // Whoever had the lock before us may have finished.
  if (std::optional<FetchedAdapter> cached = ReadCached(files, adapter)) return *std::move(cached);
  std::error_code ignored;
  if (fs::remove(files.whole, ignored)) logger_.Warn("cached_adapter_damaged", {{"file", files.whole.string()}});
  absl::StatusOr<PartFile> part = PartFile::Open(files.part, MaxBytes(adapter));
  if (!part.ok()) return WithoutFolder(part.status(), adapter, send, "");
  FileSink sink(*std::move(part), files.part);
  FetchedAdapter fetched;
  const absl::Status done = FetchInto(sink, adapter, send, fetched);
  if (!sink.failure().ok()) {
    std::string begun = ReadFile(files.part, kMaxBytes).value_or("");
    fs::remove(files.part, ignored);
    EVILMOE_ASSIGN_OR_RETURN(FetchedAdapter rest, WithoutFolder(sink.failure(), adapter, send, std::move(begun)));
    rest.num_sent += fetched.num_sent;
    rest.num_cached = fetched.num_cached;
    return rest;
  }
  if (absl::IsDataLoss(done)) fs::remove(files.part, ignored);
  EVILMOE_RETURN_IF_ERROR(done);
  // Not flushed to the disk: a file that a crash damages is found out by its hash.
  std::error_code error;
  fs::rename(files.part, files.whole, error);
  if (error) logger_.Warn("adapter_not_cached", {{"file", files.whole.string()}, {"error", error.message()}});
  DeleteOldest(options_.folder, options_.max_files);
  return fetched;
}

absl::StatusOr<FetchedAdapter> AdapterCache::WithoutFolder(const absl::Status& why, const WantedAdapter& adapter,
                                                           const SendAdapter& send, std::string begun) {
  logger_.Warn("adapter_cache_unusable", {{"folder", options_.folder.string()}, {"error", std::string(why.message())}});
  return FetchToMemory(adapter, send, std::move(begun));
}

absl::StatusOr<FetchedAdapter> AdapterCache::Get(const WantedAdapter& adapter, const SendAdapter& send,
                                                 const std::stop_token& stop) {
  if (!IsSha256(adapter.sha256)) {
    return absl::InvalidArgumentError(
        absl::StrCat("adapter: sha256 '", adapter.sha256, "', expected 64 lower-case hex digits"));
  }
  if (options_.folder.empty()) return FetchToMemory(adapter, send, "");
  std::error_code error;
  fs::create_directories(options_.folder, error);
  if (error) return WithoutFolder(absl::UnavailableError(error.message()), adapter, send, "");
  const CachedFiles files(options_.folder, adapter.sha256);
  const auto give_up = std::chrono::steady_clock::now() + absl::ToChronoNanoseconds(options_.patience);
  while (true) {
    if (std::optional<FetchedAdapter> cached = ReadCached(files, adapter)) return *std::move(cached);
    absl::StatusOr<std::optional<FileLock>> lock = FileLock::Try(files.lock);
    if (!lock.ok()) return WithoutFolder(lock.status(), adapter, send, "");
    if (lock->has_value()) return FetchLocked(files, adapter, send);
    if (std::chrono::steady_clock::now() >= give_up) {
      const std::string why = absl::StrCat(files.lock.string(), ": held for ", absl::FormatDuration(options_.patience));
      return WithoutFolder(absl::DeadlineExceededError(why), adapter, send, "");
    }
    if (!PauseFor(kLook, stop)) return absl::CancelledError("adapter cache: stopped while another worker fetches");
  }
}

}  // namespace evilmoe
