#include "services/page/event_stream.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"

namespace evilmoe {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kEventsAtATime = 100;

// One message. JSON has no newlines, so its data is one line.
std::string Message(const char* kind, const Json& data, int64_t id = 0) {
  return absl::StrCat(id > 0 ? absl::StrCat("id: ", id, "\n") : "", "event: ", kind, "\ndata: ",
                      data.dump(-1, ' ', false, Json::error_handler_t::replace), "\n\n");
}

class Stream {
 public:
  Stream(RunSource& source, RunBoard& board, const StreamOptions& options, const Clock& clock,
         const std::function<bool(std::string_view)>& write)
      : source_(source), board_(board), options_(options), clock_(clock), write_(write), seq_(options.after_seq) {}

  // One wait and what came of it. False: the reader is gone, or was told why nothing more comes.
  bool Turn() {
    const absl::Status status = Look();
    if (!status.ok()) {
      Send(Message("problem", {{"code", absl::StatusCodeToString(status.code())},
                               {"message", std::string(status.message())}}));
      return false;
    }
    if (alive_ && clock_.Now() - sent_ >= options_.heartbeat) Send(": still here\n\n");
    return alive_;
  }

 private:
  absl::Status Look() {
    EVILMOE_ASSIGN_OR_RETURN(const RunBoard::Changes changes, board_.Since(version_));
    version_ = changes.version;
    if (!changes.runs.empty()) {
      Json list = Json::array();
      for (const RunSummary& run : changes.runs) list.push_back(ToJson(run));
      Send(Message("runs", list));
    }
    if (options_.run_id.empty()) {
      Rest();
      return absl::OkStatus();
    }
    EVILMOE_ASSIGN_OR_RETURN(const PageEvents page,
                             source_.Events(options_.run_id, seq_, kEventsAtATime, options_.turn));
    for (const RunEventView& event : page.events) {
      if (!alive_) break;
      Send(Message("event", {{"seq", event.seq}, {"unix_ms", event.unix_ms}, {"kind", event.kind},
                             {"payload", event.payload}}, event.seq));
      seq_ = event.seq;
    }
    if (Json run = ToJson(page.run); run != run_) {
      Send(Message("run", run));
      run_ = std::move(run);
    }
    return absl::OkStatus();
  }

  void Rest() {
    MutexLock lock(rest_);
    rest_.AwaitFor(options_.turn, [] { return false; });
  }

  void Send(const std::string& text) {
    alive_ = alive_ && write_(text);
    sent_ = clock_.Now();
  }

  RunSource& source_;
  RunBoard& board_;
  const StreamOptions& options_;
  const Clock& clock_;
  const std::function<bool(std::string_view)>& write_;
  int64_t seq_;
  int64_t version_ = 0;
  Json run_;
  absl::Time sent_ = absl::InfinitePast();  // the first turn sends something in any case
  bool alive_ = true;
  Mutex rest_;
};

}  // namespace

void ServeEvents(RunSource& source, RunBoard& board, const StreamOptions& options, const Clock& clock,
                 const std::function<bool(std::string_view)>& write, const std::function<bool()>& ended) {
  Stream stream(source, board, options, clock, write);
  const absl::Time end = clock.Now() + options.lifetime;
  while (!ended() && clock.Now() < end && stream.Turn()) {
  }
}

}  // namespace evilmoe
