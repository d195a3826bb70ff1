#pragma once

#include <atomic>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace evilmoe {

// Stands between a client and a PostgreSQL server on Unix sockets, and breaks connections at a chosen point. Passes
// bytes on otherwise.
class CuttingProxy {
 public:
  enum class Cut {
    kNothing,
    kNextRequest,         // when the client sends something: the server does not get it
    kNextAnswer,          // when the server has answered in full and has nothing left to do: the client does not get it
    kNextAnswerSilently,  // likewise, and the client is not told that the connection is of no use any more
  };
  // Listens on <temporary folder>/.s.PGSQL.5432.
  explicit CuttingProxy(std::filesystem::path server_socket);
  ~CuttingProxy();
  CuttingProxy(const CuttingProxy&) = delete;
  CuttingProxy& operator=(const CuttingProxy&) = delete;

  const std::filesystem::path& folder() const { return folder_; }
  // Cuts once, then is kNothing again. For tests in which one connection talks at a time.
  void CutOnce(Cut cut) { cut_ = cut; }
  int num_cuts() const { return num_cuts_; }

 private:
  struct Link {
    int client = -1, server = -1;
    std::string held;     // of an answer that is to be cut
    bool silent = false;  // nothing of the server goes to the client
  };
  void Run();
  void Accept();
  bool Pass(Link& link, bool from_client);  // false: the link is to be closed

  const std::filesystem::path server_socket_;
  std::filesystem::path folder_;
  int listener_ = -1;
  int stop_pipe_[2] = {-1, -1};
  std::vector<Link> links_;
  std::atomic<Cut> cut_ = Cut::kNothing;
  std::atomic<int> num_cuts_ = 0;
  std::thread thread_;
};

}  // namespace evilmoe
