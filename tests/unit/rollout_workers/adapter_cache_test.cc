#include "rollout_workers/adapter_cache.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <latch>
#include <thread>
#include <vector>

#include "common/file.h"
#include "common/hash.h"
#include "tests/fakes/fake_clock.h"

namespace evilmoe {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

constexpr size_t kChunk = 100;

std::string SomeBytes(char salt) {
  std::string bytes(1050, '\0');
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>(i * 31 + static_cast<size_t>(salt));
  return bytes;
}

WantedAdapter Named(const std::string& bytes) {
  return {.sha256 = Sha256Hex(bytes), .size_bytes = static_cast<int64_t>(bytes.size())};
}

// Sends `bytes` in chunks, and remembers where it was asked to begin.
class FakeSender {
 public:
  explicit FakeSender(std::string bytes) : bytes_(std::move(bytes)) {}

  int break_after = -1;  // chunks of the next transfer; then Unavailable, once
  bool damage_next = false;
  std::atomic<int> num_calls = 0;
  std::vector<int64_t> offsets;

  SendAdapter Send() {
    return [this](int64_t offset, const TakeChunk& take) -> absl::Status {
      ++num_calls;
      offsets.push_back(offset);
      if (offset > static_cast<int64_t>(bytes_.size())) return absl::InvalidArgumentError("offset: lies outside");
      const bool damage = std::exchange(damage_next, false);
      const int last = std::exchange(break_after, -1);
      int num_chunks = 0;
      for (size_t at = static_cast<size_t>(offset); at < bytes_.size(); at += kChunk, ++num_chunks) {
        if (num_chunks == last) return absl::UnavailableError("the connection broke");
        std::string chunk = bytes_.substr(at, kChunk);
        if (damage) chunk[0] = static_cast<char>(chunk[0] ^ 1);
        if (const absl::Status taken = take(chunk); !taken.ok()) return taken;
      }
      return absl::OkStatus();
    };
  }

 private:
  const std::string bytes_;
};

class AdapterCacheTest : public ::testing::Test {
 protected:
  AdapterCacheTest() {
    std::string pattern = (fs::temp_directory_path() / "evilmoe_adapters_XXXXXX").string();
    root_ = mkdtemp(pattern.data());
    folder_ = root_ / "cache";
    logger_ = std::make_unique<Logger>(*Logger::Open(root_ / "log", "test", clock_));
  }
  ~AdapterCacheTest() override { fs::remove_all(root_); }

  AdapterCache Cache() { return Cache({.folder = folder_}); }
  AdapterCache Cache(AdapterCacheOptions options) { return AdapterCache(std::move(options), *logger_); }
  absl::StatusOr<FetchedAdapter> Get(FakeSender& sender, const std::string& bytes) {
    return Cache().Get(Named(bytes), sender.Send(), {});
  }
  std::vector<std::string> Files(const std::string& extension) const {
    std::vector<std::string> names;
    for (const fs::directory_entry& entry : fs::directory_iterator(folder_)) {
      if (entry.path().extension() == extension) names.push_back(entry.path().stem());
    }
    return names;
  }
  std::string Log() const { return ReadFile(root_ / "log").value_or(""); }
  fs::path Whole(const std::string& bytes) const { return CachedFiles(folder_, Sha256Hex(bytes)).whole; }
  fs::path Part(const std::string& bytes) const { return CachedFiles(folder_, Sha256Hex(bytes)).part; }
  void Write(const fs::path& path, const std::string& bytes) const {
    fs::create_directories(folder_);
    ASSERT_TRUE(WriteFileAtomic(path, bytes).ok());
  }

  const std::string bytes_ = SomeBytes('a');
  FakeClock clock_;
  fs::path root_;
  fs::path folder_;
  std::unique_ptr<Logger> logger_;
};

TEST_F(AdapterCacheTest, FetchesOnceAndThenReadsTheFile) {
  FakeSender sender(bytes_);
  const auto first = Get(sender, bytes_);
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_EQ(first->bytes, bytes_);
  EXPECT_EQ(first->num_sent, bytes_.size());
  EXPECT_EQ(first->num_cached, 0);
  EXPECT_THAT(Files(".safetensors"), ElementsAre(Sha256Hex(bytes_)));
  EXPECT_THAT(Files(".part"), IsEmpty());
  const auto second = Get(sender, bytes_);
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_EQ(second->bytes, bytes_);
  EXPECT_EQ(second->num_sent, 0);
  EXPECT_EQ(second->num_cached, bytes_.size());
  EXPECT_THAT(sender.offsets, ElementsAre(0));
}

TEST_F(AdapterCacheTest, WithoutAFolderKeepsNothing) {
  FakeSender sender(bytes_);
  AdapterCache cache = Cache({});
  for (int i = 0; i < 2; ++i) {
    const auto got = cache.Get(Named(bytes_), sender.Send(), {});
    ASSERT_TRUE(got.ok()) << got.status();
    EXPECT_EQ(got->bytes, bytes_);
    EXPECT_EQ(got->num_sent, bytes_.size());
  }
  EXPECT_FALSE(fs::exists(folder_));
}

TEST_F(AdapterCacheTest, ABrokenTransferGoesOnWhereItBroke) {
  FakeSender sender(bytes_);
  sender.break_after = 3;
  EXPECT_TRUE(absl::IsUnavailable(Get(sender, bytes_).status()));
  EXPECT_EQ(fs::file_size(Part(bytes_)), 3 * kChunk);
  const auto got = Get(sender, bytes_);
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_EQ(got->bytes, bytes_);
  EXPECT_EQ(got->num_cached, 3 * kChunk);
  EXPECT_EQ(got->num_sent, bytes_.size() - 3 * kChunk);
  EXPECT_THAT(sender.offsets, ElementsAre(0, 3 * kChunk));
}

TEST_F(AdapterCacheTest, APartThatIsWholeIsNotFetchedAtAll) {
  Write(Part(bytes_), bytes_);
  FakeSender sender(bytes_);
  EXPECT_EQ(Get(sender, bytes_)->bytes, bytes_);
  EXPECT_THAT(sender.offsets, IsEmpty());
  EXPECT_THAT(Files(".safetensors"), ElementsAre(Sha256Hex(bytes_)));
}

struct PartCase {
  std::string name;
  std::string part;
  bool size_known = true;
  std::vector<int64_t> want_offsets;
};
class DamagedPartTest : public AdapterCacheTest, public ::testing::WithParamInterface<PartCase> {};

TEST_P(DamagedPartTest, IsThrownAwayAndFetchedAfresh) {
  Write(Part(bytes_), GetParam().part);
  FakeSender sender(bytes_);
  WantedAdapter wanted = Named(bytes_);
  if (!GetParam().size_known) wanted.size_bytes = 0;
  const auto got = Cache().Get(wanted, sender.Send(), {});
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_EQ(got->bytes, bytes_);
  EXPECT_EQ(got->num_cached, 0);
  EXPECT_EQ(sender.offsets, GetParam().want_offsets);
}

INSTANTIATE_TEST_SUITE_P(Cases, DamagedPartTest,
                         ::testing::ValuesIn(std::vector<PartCase>{
                             {"OtherBytes", std::string(250, 'x'), true, {250, 0}},
                             {"OtherBytesOfTheRightLength", std::string(1050, 'x'), true, {0}},
                             {"TooLong", std::string(2000, 'x'), true, {0}},
                             {"LongerThanTheSenderHas", std::string(2000, 'x'), false, {2000, 0}},
                             {"OtherBytesOfAnUnknownLength", std::string(250, 'x'), false, {250, 0}}}),
                         [](const auto& c) { return c.param.name; });

TEST_F(AdapterCacheTest, ATransferThatIsDamagedOnItsWayIsRepeated) {
  FakeSender sender(bytes_);
  sender.damage_next = true;
  const auto got = Get(sender, bytes_);
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_EQ(got->bytes, bytes_);
  EXPECT_EQ(got->num_sent, 2 * bytes_.size());
}

TEST_F(AdapterCacheTest, BytesThatNeverHaveTheHashAreDataLossAndLeaveNothing) {
  for (const std::string& sent : {SomeBytes('b'), bytes_.substr(0, 500), bytes_ + "more", std::string()}) {
    FakeSender sender(sent);
    EXPECT_TRUE(absl::IsDataLoss(Get(sender, bytes_).status())) << sent.size();
    EXPECT_THAT(sender.offsets, ElementsAre(0, 0));
    EXPECT_THAT(Files(".part"), IsEmpty());
    EXPECT_THAT(Files(".safetensors"), IsEmpty());
    EXPECT_TRUE(absl::IsDataLoss(Cache({}).Get(Named(bytes_), sender.Send(), {}).status()));
  }
}

TEST_F(AdapterCacheTest, ADamagedFileIsReplaced) {
  for (const std::string& damaged : {SomeBytes('b'), bytes_.substr(0, 10), std::string()}) {
    Write(Whole(bytes_), damaged);
    FakeSender sender(bytes_);
    EXPECT_EQ(Get(sender, bytes_)->bytes, bytes_);
    EXPECT_EQ(ReadFile(Whole(bytes_)).value(), bytes_);
    EXPECT_THAT(sender.offsets, ElementsAre(0));
  }
  EXPECT_THAT(Log(), HasSubstr("cached_adapter_damaged"));
}

TEST_F(AdapterCacheTest, ErrorsOfTheSenderComeThrough) {
  const SendAdapter gone = [](int64_t, const TakeChunk&) { return absl::NotFoundError("no such adapter"); };
  EXPECT_TRUE(absl::IsNotFound(Cache().Get(Named(bytes_), gone, {}).status()));
  EXPECT_TRUE(absl::IsNotFound(Cache({}).Get(Named(bytes_), gone, {}).status()));
}

TEST_F(AdapterCacheTest, NamesThatAreNoHashNeverReachTheDisk) {
  FakeSender sender(bytes_);
  for (const std::string& name : {std::string("../../etc/passwd"), std::string(), std::string(64, 'G'),
                                  std::string(64, 'A'), std::string(63, 'a'), "/" + std::string(63, 'a')}) {
    EXPECT_TRUE(absl::IsInvalidArgument(Cache().Get({.sha256 = name}, sender.Send(), {}).status())) << name;
  }
  EXPECT_EQ(sender.num_calls, 0);
  EXPECT_FALSE(fs::exists(folder_));
}

TEST_F(AdapterCacheTest, ManyAtOnceFetchOnce) {
  FakeSender sender(bytes_);
  const SendAdapter send = sender.Send();
  std::vector<std::string> got(6);
  std::latch start(6);
  {
    std::vector<std::jthread> workers;
    for (std::string& bytes : got) {
      workers.emplace_back([&] {
        AdapterCache cache = Cache();  // one a worker, as in processes
        start.arrive_and_wait();
        bytes = cache.Get(Named(bytes_), send, {})->bytes;
      });
    }
  }
  for (const std::string& bytes : got) EXPECT_EQ(bytes, bytes_);
  EXPECT_EQ(sender.num_calls, 1);
}

// The first is in the middle of its fetch for as long as the second is patient.
TEST_F(AdapterCacheTest, WhoWaitsTooLongFetchesToMemory) {
  FakeSender slow(bytes_), quick(bytes_);
  std::latch begun(1), go_on(1);
  std::jthread first([&] {
    const auto got = Cache().Get(Named(bytes_),
                                 [&](int64_t offset, const TakeChunk& take) {
                                   begun.count_down();
                                   go_on.wait();
                                   return slow.Send()(offset, take);
                                 },
                                 {});
    EXPECT_EQ(got->bytes, bytes_);
  });
  begun.wait();
  AdapterCache impatient = Cache({.folder = folder_, .patience = absl::ZeroDuration()});
  const auto got = impatient.Get(Named(bytes_), quick.Send(), {});
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_EQ(got->bytes, bytes_);
  EXPECT_EQ(quick.num_calls, 1);
  EXPECT_THAT(Log(), HasSubstr("held for 0"));
  std::stop_source stop;
  stop.request_stop();
  EXPECT_TRUE(absl::IsCancelled(Cache().Get(Named(bytes_), quick.Send(), stop.get_token()).status()));
  go_on.count_down();
  first.join();
  EXPECT_EQ(ReadFile(Whole(bytes_)).value(), bytes_);
}

// A process that is killed in the middle of its fetch leaves a part and no lock.
TEST_F(AdapterCacheTest, AKilledWorkersPartIsTakenOver) {
  const pid_t child = fork();
  if (child == 0) {
    const auto killed = [](int64_t, const TakeChunk& take) {
      for (size_t at = 0; at < 4 * kChunk; at += kChunk) (void)take(SomeBytes('a').substr(at, kChunk));
      raise(SIGKILL);
      return absl::OkStatus();
    };
    (void)Cache().Get(Named(bytes_), killed, {});
    _exit(0);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status));
  FakeSender sender(bytes_);
  EXPECT_EQ(Get(sender, bytes_)->bytes, bytes_);
  EXPECT_THAT(sender.offsets, ElementsAre(4 * kChunk));
}

// Writes fail once a file has so many bytes, for the scope's life.
class SmallDisk {
 public:
  explicit SmallDisk(rlim_t bytes) : handler_(signal(SIGXFSZ, SIG_IGN)) {
    getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit small{.rlim_cur = bytes, .rlim_max = before_.rlim_max};
    setrlimit(RLIMIT_FSIZE, &small);
  }
  ~SmallDisk() {
    setrlimit(RLIMIT_FSIZE, &before_);
    signal(SIGXFSZ, handler_);
  }
  SmallDisk(const SmallDisk&) = delete;
  SmallDisk& operator=(const SmallDisk&) = delete;

 private:
  sighandler_t handler_;
  rlimit before_{};
};

TEST_F(AdapterCacheTest, AFullDiskGoesOnInMemory) {
  FakeSender sender(bytes_);
  absl::StatusOr<FetchedAdapter> got;
  {
    const SmallDisk disk(450);
    got = Get(sender, bytes_);
  }
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_EQ(got->bytes, bytes_);
  EXPECT_THAT(sender.offsets, ElementsAre(0, 450)) << "what the disk took is not fetched again";
  EXPECT_EQ(got->num_cached, 0);
  EXPECT_THAT(Files(".part"), IsEmpty());
  EXPECT_THAT(Log(), HasSubstr("adapter_cache_unusable"));
}

TEST_F(AdapterCacheTest, AFolderThatCannotBeWrittenIsDoneWithout) {
  ASSERT_TRUE(WriteFileAtomic(root_ / "file", "").ok());
  for (const fs::path& folder : {root_ / "file", root_ / "file" / "below", fs::path("/proc/self/fdinfo")}) {
    FakeSender sender(bytes_);
    const auto got = Cache({.folder = folder}).Get(Named(bytes_), sender.Send(), {});
    ASSERT_TRUE(got.ok()) << got.status();
    EXPECT_EQ(got->bytes, bytes_);
    EXPECT_THAT(Log(), HasSubstr("adapter_cache_unusable"));
    fs::remove(root_ / "log");
    logger_ = std::make_unique<Logger>(*Logger::Open(root_ / "log", "test", clock_));
  }
}

TEST_F(AdapterCacheTest, KeepsTheAdaptersThatWereUsedLast) {
  const std::string used = SomeBytes('b'), locked = SomeBytes('c'), old = SomeBytes('d'), part = SomeBytes('e');
  const auto age = [](const fs::path& path, int hours) {
    fs::last_write_time(path, fs::file_time_type::clock::now() - std::chrono::hours(hours));
  };
  int hours = 10;
  for (const std::string& bytes : {used, locked, old}) {
    Write(Whole(bytes), bytes);
    age(Whole(bytes), hours++);
  }
  Write(Part(part), "x");
  age(Part(part), 5);
  Write(folder_ / "notes.txt", "not ours");
  FakeSender no_sender("");
  EXPECT_EQ(Get(no_sender, used)->bytes, used) << "and is the newest from now on";
  const auto held = FileLock::Try(CachedFiles(folder_, Sha256Hex(locked)).lock);
  ASSERT_TRUE(held.ok() && held->has_value());
  FakeSender sender(bytes_);
  ASSERT_TRUE(Cache({.folder = folder_, .max_files = 2}).Get(Named(bytes_), sender.Send(), {}).ok());
  EXPECT_THAT(Files(".safetensors"), UnorderedElementsAre(Sha256Hex(bytes_), Sha256Hex(used), Sha256Hex(locked)));
  EXPECT_THAT(Files(".part"), IsEmpty());
  EXPECT_TRUE(fs::exists(folder_ / "notes.txt"));
}

TEST_F(AdapterCacheTest, ALockWhoseNameWasTakenAwayIsNoLock) {
  fs::create_directories(folder_);
  const CachedFiles files(folder_, Sha256Hex(bytes_));
  auto held = FileLock::Try(files.lock);
  ASSERT_TRUE(held.ok() && held->has_value());
  EXPECT_FALSE(FileLock::Try(files.lock)->has_value());
  fs::remove(files.lock);
  const auto fresh = FileLock::Try(files.lock);
  EXPECT_TRUE(fresh.ok() && fresh->has_value()) << "another file, so another lock";
}

}  // namespace
}  // namespace evilmoe
