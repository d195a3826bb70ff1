#include "tests/unit/services_page/http_kit.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace evilmoe {
namespace {

int Connect(int port) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const timeval timeout = {10, 0};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) return fd;
  close(fd);
  return -1;
}

void SendAll(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t sent = send(fd, text.data(), text.size(), MSG_NOSIGNAL);
    if (sent <= 0) return;
    text.remove_prefix(static_cast<size_t>(sent));
  }
}

// What comes next; "" at the end, or when nothing comes.
std::string Receive(int fd) {
  char buffer[1 << 14];
  const ssize_t got = recv(fd, buffer, sizeof buffer, 0);
  return got <= 0 ? "" : std::string(buffer, static_cast<size_t>(got));
}

std::string RequestText(int port, std::string_view method, const std::string& target, const Headers& headers) {
  std::string text = absl::StrCat(std::string(method), " ", target, " HTTP/1.1\r\n");
  if (!headers.contains("Host")) absl::StrAppend(&text, "Host: 127.0.0.1:", port, "\r\n");
  for (const auto& [name, value] : headers) absl::StrAppend(&text, name, ": ", value, "\r\n");
  return text + "\r\n";
}

}  // namespace

HttpAnswer AskRaw(int port, const std::string& text) {
  const int fd = Connect(port);
  if (fd < 0) return {};
  SendAll(fd, text);
  std::string all;
  for (std::string piece; !(piece = Receive(fd)).empty();) all += piece;
  close(fd);
  HttpAnswer answer;
  const size_t end = all.find("\r\n\r\n");
  if (end == std::string::npos) return answer;
  answer.body = all.substr(end + 4);
  const std::vector<std::string> lines = absl::StrSplit(all.substr(0, end), "\r\n");
  for (const std::string& line : lines) {
    const size_t colon = line.find(": ");
    if (line.starts_with("HTTP/1.1 ")) {
      answer.code = std::stoi(line.substr(9, 3));
    } else if (colon != std::string::npos) {
      answer.headers[absl::AsciiStrToLower(line.substr(0, colon))] = line.substr(colon + 2);
    }
  }
  return answer;
}

HttpAnswer Ask(int port, std::string_view method, const std::string& target, const Headers& headers) {
  return AskRaw(port, RequestText(port, method, target, headers));
}

HttpStream::HttpStream(int port, const std::string& target, const Headers& headers) : fd_(Connect(port)) {
  SendAll(fd_, RequestText(port, "GET", target, headers));
}

HttpStream::~HttpStream() {
  if (fd_ >= 0) close(fd_);
}

std::string HttpStream::Await(const std::string& text) {
  while (read_.find(text) == std::string::npos) {
    const std::string piece = Receive(fd_);
    if (piece.empty()) return "";
    read_ += piece;
  }
  return read_;
}

bool HttpStream::Ends() {
  char buffer[1 << 14];
  ssize_t got = 0;
  while ((got = recv(fd_, buffer, sizeof buffer, 0)) > 0) {
  }
  return got == 0;
}

}  // namespace evilmoe
