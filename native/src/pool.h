// Workers that translate what waits in one queue: continuous batching.
//
// Each worker is one thread with room of its own for the model's pass. Sentences that have ended leave its batch at
// every step and waiting ones join, the longest first. No result depends on who translates what beside what.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "kernels/kernels.h"
#include "model.h"
#include "search.h"

namespace attento {

// One sentence to be translated, or one prompt of a language model to be gone on with.
struct Request {
  std::vector<std::int32_t> source;  // without bos and eos
  std::vector<std::int32_t> prefix;  // what every output begins with
  std::vector<double> uniform;       // when sampling: n_best rows of max_length + 1 numbers in [0, 1)
  int max_length = 0;                // the most pieces of an output
};

// Hypotheses, best first, or what went wrong with this sentence alone.
struct Outcome {
  std::vector<Hypothesis> hypotheses;
  std::string error;
};

class Pool {
 public:
  // `max_rows`: the most hypotheses that a worker carries at once; a single sentence may have more. Throws
  // std::system_error where so many threads cannot be had.
  Pool(const Model& model, const Kernels& kernels, int threads, int max_rows);
  // Lets the workers end their step, and forgets what waits.
  ~Pool();
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  // Whether the workers are of this process: a fork leaves them behind.
  bool is_here() const;

  // Translate some sentences and wait for them; safe from several threads at once. `interrupted` is asked from time to
  // time; where it says true, the sentences are given up within one step and come back with an error.
  std::vector<Outcome> translate(const std::vector<Request>& requests, const SearchSettings& search,
                                 const std::function<bool()>& interrupted);

 private:
  friend class Worker;

  // One call of `translate`.
  struct Job {
    const std::vector<Request>* requests;
    const SearchSettings* search;
    std::vector<Outcome> outcomes;
    int pending = 0;
    bool cancelled = false;
  };
  // A sentence that waits.
  struct Ticket {
    Job* job;
    int index;
  };

  void end();
  // Give a worker sentences for so many more hypotheses; wait for some if it has none yet. False when all is over.
  bool take(int free_rows, bool wait, std::vector<Ticket>& tickets);
  void deliver(const Ticket& ticket, Outcome outcome);
  bool is_cancelled(const Ticket& ticket);
  // What is wrong with a request; empty where nothing is.
  std::string problem(const Request& request, const SearchSettings& search) const;

  const Model& model_;
  const int max_rows_;
  const int process_;
  std::mutex mutex_;
  std::condition_variable work_, done_;
  std::deque<Ticket> queue_;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace attento
