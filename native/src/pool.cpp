#include "pool.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <numeric>

#include "worker.h"

namespace attento {
namespace {

constexpr auto kPatience = std::chrono::milliseconds(50);
constexpr const char* kGivenUp = "was given up";

bool within(const std::vector<std::int32_t>& ids, int vocabulary) {
  return std::all_of(ids.begin(), ids.end(), [&](std::int32_t id) { return 0 <= id && id < vocabulary; });
}

}  // namespace

int rows_of(const SearchSettings& search) { return search.sampling.on ? search.n_best : search.beam_size; }

Pool::Pool(const Model& model, const Kernels& kernels, int threads, int max_rows)
    : model_(model), max_rows_(max_rows), process_(::getpid()) {
  try {
    for (int i = 0; i < threads; ++i) {
      threads_.emplace_back([this, &kernels] { Worker(*this, kernels, max_rows_).run(); });
    }
  } catch (...) {
    end();
    throw;
  }
}

Pool::~Pool() { end(); }

bool Pool::is_here() const { return ::getpid() == process_; }

void Pool::end() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  work_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

std::string Pool::problem(const Request& request, const SearchSettings& search) const {
  const Settings& s = model_.settings;
  const auto length = static_cast<std::int64_t>(request.source.size()) + 1;
  if (s.max_source_length > 0 && length > s.max_source_length) {
    return "has " + std::to_string(length - 1) + " pieces and an end of sentence, but the model reads at most " +
           std::to_string(s.max_source_length) + " tokens; split it";
  }
  if (!within(request.source, s.source_vocab_size)) {
    return "has ids outside the model's vocabulary of " + std::to_string(s.source_vocab_size) +
           "; use the tokenizer that the model was trained with";
  }
  if (!within(request.prefix, s.target_vocab_size)) {
    return "has a prefix with ids outside the model's vocabulary of " + std::to_string(s.target_vocab_size);
  }
  if (static_cast<std::int64_t>(request.prefix.size()) > request.max_length) {
    return "has a prefix of " + std::to_string(request.prefix.size()) + " pieces, but a translation may have at most " +
           std::to_string(request.max_length);
  }
  const auto whole = length + request.max_length;
  if (!s.translates() && s.max_target_length > 0 && whole > s.max_target_length) {
    return "would be " + std::to_string(whole) + " tokens long with what follows, but the model reads at most " +
           std::to_string(s.max_target_length);
  }
  if (s.max_target_length > 0 && request.max_length >= s.max_target_length) {
    return "may become " + std::to_string(request.max_length) + " pieces long, but the model writes at most " +
           std::to_string(s.max_target_length - 1);
  }
  const auto draws = static_cast<std::int64_t>(search.n_best) * (request.max_length + std::int64_t{1});
  if (search.sampling.on && static_cast<std::int64_t>(request.uniform.size()) != draws) {
    return "needs " + std::to_string(draws) + " random numbers, but has " + std::to_string(request.uniform.size());
  }
  return "";
}

std::vector<Outcome> Pool::translate(const std::vector<Request>& requests, const SearchSettings& search,
                                     const std::function<bool()>& interrupted) {
  Job job{.requests = &requests, .search = &search, .outcomes = std::vector<Outcome>(requests.size())};
  std::vector<int> order;
  for (std::size_t i = 0; i < requests.size(); ++i) {
    if (requests[i].source.empty() && model_.settings.translates()) {
      job.outcomes[i].hypotheses.emplace_back().finished = true;
    } else if (job.outcomes[i].error = problem(requests[i], search); job.outcomes[i].error.empty()) {
      order.push_back(static_cast<int>(i));
    }
  }
  // The longest first: what comes last is short, and no worker waits long for another.
  std::stable_sort(order.begin(), order.end(),
                   [&](int a, int b) { return requests[a].source.size() > requests[b].source.size(); });
  std::unique_lock lock(mutex_);
  for (const int index : order) queue_.push_back({&job, index});
  job.pending = static_cast<int>(order.size());
  work_.notify_all();
  while (job.pending > 0) {
    done_.wait_for(lock, kPatience, [&] { return job.pending == 0; });
    if (job.pending == 0 || job.cancelled) continue;
    lock.unlock();
    const bool give_up = interrupted();
    lock.lock();
    if (give_up) {
      job.cancelled = true;
      const auto mine = [&](const Ticket& ticket) { return ticket.job == &job; };
      for (const Ticket& ticket : queue_) {
        if (mine(ticket)) job.outcomes[ticket.index].error = kGivenUp;
      }
      job.pending -= static_cast<int>(std::erase_if(queue_, mine));
    }
  }
  return std::move(job.outcomes);
}

bool Pool::take(int free_rows, bool wait, std::vector<Ticket>& tickets) {
  std::unique_lock lock(mutex_);
  if (wait) work_.wait(lock, [&] { return stopping_ || !queue_.empty(); });
  if (stopping_) return false;
  // A share for each worker. Every n-th of them, so that the long ones do not all fall to the first.
  const std::size_t workers = threads_.size();
  std::size_t at = 0;
  for (std::size_t left = (queue_.size() + workers - 1) / workers; left > 0 && at < queue_.size(); --left) {
    const int rows = rows_of(*queue_[at].job->search);
    if (rows > free_rows && !(wait && tickets.empty())) break;
    free_rows -= rows;
    tickets.push_back(queue_[at]);
    queue_.erase(queue_.begin() + static_cast<std::ptrdiff_t>(at));
    at += workers - 1;
  }
  return true;
}

void Pool::deliver(const Ticket& ticket, Outcome outcome) {
  const std::lock_guard lock(mutex_);
  ticket.job->outcomes[ticket.index] = std::move(outcome);
  if (--ticket.job->pending == 0) done_.notify_all();
}

bool Pool::is_cancelled(const Ticket& ticket) {
  const std::lock_guard lock(mutex_);
  return ticket.job->cancelled;
}

}  // namespace attento
