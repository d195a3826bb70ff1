#include "grader_sandbox/os_fd.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"

namespace evilmoe {
namespace {

constexpr size_t kMaxFds = 4;

absl::Status SetNonBlocking(int fd) {
  if (fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) != 0) return ErrnoStatus("fcntl", errno);
  return absl::OkStatus();
}

absl::StatusOr<FdPair> SocketPair(int type) {
  int fds[2];
  if (socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, fds) != 0) return ErrnoStatus("socketpair", errno);
  return FdPair{UniqueFd(fds[0]), UniqueFd(fds[1])};
}

std::vector<UniqueFd> TakeFds(msghdr& header) {
  std::vector<UniqueFd> fds;
  for (cmsghdr* control = CMSG_FIRSTHDR(&header); control != nullptr; control = CMSG_NXTHDR(&header, control)) {
    if (control->cmsg_level != SOL_SOCKET || control->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (control->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(control) + i * sizeof(int), sizeof fd);
      fds.emplace_back(fd);
    }
  }
  return fds;
}

}  // namespace

void UniqueFd::Close() {
  if (fd_ >= 0) close(std::exchange(fd_, -1));
}

absl::Status ErrnoStatus(std::string_view what, int error) {
  const std::string text = absl::StrCat(std::string(what), ": ", std::strerror(error));
  if (error == EMFILE || error == ENFILE || error == ENOMEM || error == EAGAIN) {
    return absl::ResourceExhaustedError(text);
  }
  return absl::InternalError(text);
}

absl::Status WriteKernelFile(const std::filesystem::path& path, std::string_view text) {
  const UniqueFd file(open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!file) return ErrnoStatus(absl::StrCat("open ", path.string()), errno);
  if (write(file.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
    return ErrnoStatus(absl::StrCat("write ", std::string(text), " to ", path.string()), errno);
  }
  return absl::OkStatus();
}

absl::StatusOr<FdPair> PipeFromChild() {
  int fds[2];
  if (pipe2(fds, O_CLOEXEC) != 0) return ErrnoStatus("pipe", errno);
  FdPair pair{UniqueFd(fds[0]), UniqueFd(fds[1])};
  EVILMOE_RETURN_IF_ERROR(SetNonBlocking(pair.ours.get()));
  return pair;
}

absl::StatusOr<FdPair> StreamToChild() {
  EVILMOE_ASSIGN_OR_RETURN(FdPair pair, SocketPair(SOCK_STREAM));
  EVILMOE_RETURN_IF_ERROR(SetNonBlocking(pair.ours.get()));
  return pair;
}

absl::StatusOr<FdPair> MessageSocket() { return SocketPair(SOCK_SEQPACKET); }

absl::Status SendFdMessage(int socket, std::string_view bytes, const std::vector<int>& fds) {
  EVILMOE_CHECK(bytes.size() <= kMaxMessageBytes && fds.size() <= kMaxFds);
  alignas(cmsghdr) char control[CMSG_SPACE(kMaxFds * sizeof(int))] = {};
  iovec part{const_cast<char*>(bytes.data()), bytes.size()};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  if (!fds.empty()) {
    header.msg_control = control;
    header.msg_controllen = CMSG_SPACE(fds.size() * sizeof(int));
    cmsghdr* rights = CMSG_FIRSTHDR(&header);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(fds.size() * sizeof(int));
    std::memcpy(CMSG_DATA(rights), fds.data(), fds.size() * sizeof(int));
  }
  ssize_t sent = 0;
  do sent = sendmsg(socket, &header, MSG_NOSIGNAL);
  while (sent < 0 && errno == EINTR);
  if (sent < 0 && (errno == EPIPE || errno == ECONNRESET)) return absl::UnavailableError("send: the other side is gone");
  return sent < 0 ? ErrnoStatus("send", errno) : absl::OkStatus();
}

absl::StatusOr<FdMessage> ReceiveFdMessage(int socket, bool may_wait) {
  FdMessage message;
  message.bytes.resize(kMaxMessageBytes);
  alignas(cmsghdr) char control[CMSG_SPACE(kMaxFds * sizeof(int))] = {};
  iovec part{message.bytes.data(), message.bytes.size()};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  header.msg_control = control;
  header.msg_controllen = sizeof control;
  ssize_t received = 0;
  do received = recvmsg(socket, &header, MSG_CMSG_CLOEXEC | (may_wait ? 0 : MSG_DONTWAIT));
  while (received < 0 && errno == EINTR);
  if (received == 0 || (received < 0 && errno == ECONNRESET)) {
    return absl::UnavailableError("receive: the other side is gone");
  }
  if (received < 0 && !may_wait && errno == EAGAIN) return absl::DeadlineExceededError("receive: nothing there");
  if (received < 0) return ErrnoStatus("receive", errno);
  message.bytes.resize(static_cast<size_t>(received));
  message.fds = TakeFds(header);
  return message;
}

}  // namespace evilmoe
