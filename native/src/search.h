// The search of one sentence: takes logits, gives the tokens to read next. Knows no model and no text.
//
// The very search of the Python package (attento.decoding): same candidates, same ties, same cap, same stopping, sums in
// 32-bit floats. See its docstrings for what exactly is searched for.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "kernels/kernels.h"

namespace attento {

struct Sampling {
  bool on = false;
  double temperature = 1;
  int top_k = 0;     // 0: all
  double top_p = 1;  // 1: all
};

struct SearchSettings {
  int beam_size = 4;  // 1: greedy; without meaning when sampling
  int n_best = 1;
  double length_penalty = 0.6;
  int min_length = 0;        // pieces that an output has at least: eos may not come before, unless the cap does
  int no_repeat_ngram = 0;   // no n pieces in a row stand twice in an output; 0: whatever
  Sampling sampling;
};

struct Hypothesis {
  std::vector<std::int32_t> ids;  // without bos and eos
  float log_probability = 0;
  float score = 0;
  bool finished = false;  // false where it had grown to its cap
};

// One sentence's search. Live hypotheses are numbered from 0; all have the same length.
class Search {
 public:
  // `cap`: the most pieces of an output. `prefix`: pieces that every output begins with (their log-probability counts).
  // `uniform`: when sampling, n_best rows of cap + 1 numbers in [0, 1).
  Search(const SearchSettings& settings, int cap, std::vector<std::int32_t> prefix, std::vector<double> uniform, int bos,
         int eos);

  int live() const { return static_cast<int>(tokens_.size()); }
  // The token that live hypothesis i reads next, and the number that its parent had at the step before (0 at first).
  std::int32_t token(int i) const { return tokens_[i]; }
  int parent(int i) const { return parents_[i]; }

  // Go on by one piece. `logits`: a row for each live hypothesis, `stride` floats apart; they are overwritten.
  // Throws std::domain_error where the scores are not numbers.
  void advance(const Kernels& kernels, float* logits, std::int64_t stride, int vocabulary);

  // The hypotheses that were found, best first; at most n_best. Only when live() is 0.
  std::vector<Hypothesis> result() const;

 private:
  // The pieces of all hypotheses as a tree: one is read from its last piece back to its first.
  struct Piece {
    std::int32_t token;
    int before;  // -1: none
  };
  struct Live {
    int last;  // its last piece, -1: none
    int draw;  // when sampling, its row of uniform numbers
    float log_probability;
  };
  struct Candidate {
    float log_probability;  // of the whole hypothesis
    std::int32_t token;
    int parent;
    int order;
  };
  struct Finished {
    int last;
    int length;
    int draw;
    float log_probability;
    double score;
  };
  struct Choice {
    double value;  // a log-probability or a probability
    std::int32_t token;
  };
  // The softmax's logarithm, with the greatest taken off first, as torch does it: in this order it loses least.
  struct Scores {
    float* logits;
    float greatest;
    float log_sum;
    int vocabulary;
    float log_probability(std::int32_t token) const { return of(logits[token]); }
    float of(float logit) const { return logit - greatest - log_sum; }
  };

  // Tokens whose ids leave the same rest form a group. The greatest of each, found by one pass, tell where to look for
  // the best of all.
  static constexpr int kGroups = 256;

  Scores normalize(const Kernels& kernels, float* logits, int vocabulary);
  void forbid(Scores scores, std::int32_t token);
  static bool better(const Choice& one, const Choice& other);
  double penalty(double length) const;
  std::int32_t only_choice() const;
  void choose(int parent, Scores scores);
  void forbid_repeats(const Live& hypothesis, Scores scores);
  void find_best(Scores scores, int count);
  void draw(Scores scores, double uniform);
  void weigh(Scores scores);
  void cut_tail();
  void add_candidate(int parent, std::int32_t token, float log_probability);
  void keep_best_candidates();
  void finish(const Candidate& candidate);
  bool worth_going_on() const;
  void extend();
  void spell(int last, int length, std::vector<std::int32_t>& pieces) const;

  SearchSettings settings_;
  int cap_;
  std::vector<std::int32_t> prefix_;
  std::vector<double> uniform_;
  std::int32_t eos_;
  bool one_path_each_;  // greedy and sampling: a hypothesis goes on in one way, and none is dropped
  float penalty_at_cap_;

  int length_ = 0;  // pieces of the live hypotheses
  std::vector<std::int32_t> tokens_;
  std::vector<int> parents_;
  std::vector<Live> live_;
  std::vector<Piece> pieces_;
  std::vector<Finished> finished_;  // of a beam: the n_best best, best first

  // Room that is used again at every step.
  std::vector<Live> next_;
  std::vector<Candidate> candidates_;
  std::vector<Choice> choices_;
  std::array<float, kGroups> maxima_;
  std::vector<float> best_maxima_;
  std::vector<double> weights_;
  std::vector<std::int32_t> spelled_;
};

}  // namespace attento
