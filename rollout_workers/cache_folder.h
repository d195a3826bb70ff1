#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace evilmoe {

// The files of AdapterCache: three an adapter, in one folder that several processes use at a time.
struct CachedFiles {
  CachedFiles(const std::filesystem::path& folder, const std::string& sha256)
      : whole(folder / (sha256 + ".safetensors")),
        part(folder / (sha256 + ".part")),
        lock(folder / (sha256 + ".lock")) {}

  std::filesystem::path whole;  // appears at once, by a rename
  std::filesystem::path part;   // what a transfer has brought so far; written under the lock alone
  std::filesystem::path lock;   // empty; flock(2) on it
};

// An exclusive lock that ends with the object, or with the process.
class FileLock {
 public:
  // nullopt: another has it. Unavailable: the file cannot be made.
  static absl::StatusOr<std::optional<FileLock>> Try(const std::filesystem::path& path);
  ~FileLock();
  FileLock(FileLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  FileLock& operator=(FileLock&&) = delete;

 private:
  explicit FileLock(int fd) : fd_(fd) {}
  int fd_;
};

// A file that grows at its end. Not thread-safe.
class PartFile {
 public:
  // Makes it, or goes on with what is there; more than `max_bytes` is thrown away. ResourceExhausted: the disk is full.
  // Unavailable.
  static absl::StatusOr<PartFile> Open(const std::filesystem::path& path, int64_t max_bytes);
  ~PartFile();
  PartFile(PartFile&& other) noexcept : fd_(std::exchange(other.fd_, -1)), size_(other.size_) {}
  PartFile& operator=(PartFile&&) = delete;

  int64_t size() const { return size_; }
  // After an error the file has some of it, or nothing. Errors as Open.
  absl::Status Append(std::string_view bytes);
  absl::Status Clear();

 private:
  PartFile(int fd, int64_t size) : fd_(fd), size_(size) {}
  int fd_;
  int64_t size_;
};

// Says that an adapter was used now.
void Touch(const std::filesystem::path& path);

// Deletes all but the `keep` adapters that were used last, whole or in part, and none whose lock another has.
void DeleteOldest(const std::filesystem::path& folder, int keep);

}  // namespace evilmoe
