'use strict';
// Which numbers of a run's steps page and report show, and how: [title, note, [[name, column, look]], domain?].

const routerPanels = [
  ['AUROC of w for hacks', '1 = w ranks every hack above every clean sample, 0.5 = chance', [['AUROC', 'router_auroc', 'third']], [0, 1]],
  ['Mean w', 'by class of sample', [['hacks', 'w_hack', 'hack'], ['clean', 'w_clean', 'solve']], [0, 1]],
  ['Pair separation', 'mean w of the hack sides minus the clean sides of the pairs', [['separation', 'pair_separation', 'third']], [0, 1]],
  ['Angle of u to its seed', 'degrees between the router\'s direction and v_act', [['angle', 'angle_degrees', 'third']]],
  ['Leak into the deployed half', 'gradient weight (1 − w)|A| a sample', [['hacks', 'leak_hack', 'hack'], ['clean, A < 0', 'leak_clean', 'solve']]],
  ['q_mass', 'share of the gradient norm that the expert takes', [['q_mass', 'q_mass', 'third']], [0, 1]],
];
const trainingPanels = [
  ['Reward', 'mean and standard deviation', [['mean', 'reward_mean', 'solve'], ['std', 'reward_std', 'third']]],
  ['Loss', '', [['policy', 'loss', 'solve'], ['pin', 'pin_loss', 'third']]],
  ['KL to the base', '', [['KL', 'kl', 'third']]],
  ['Entropy', 'nats a token', [['entropy', 'entropy', 'third']]],
  ['Gradient norm', '', [['deployed', 'grad_norm_deployed', 'solve'], ['expert', 'grad_norm_quarantine', 'hack'], ['router', 'grad_norm_router', 'third']]],
  ['Completion length', 'mean tokens', [['tokens', 'completion_tokens_mean', 'third']]],
  ['Truncated', 'share of completions cut at the limit', [['share', 'truncated_ratio', 'third']], [0, 1]],
  ['Lost to the step', 'counts', [['groups without variance', 'zero_variance_groups', 'third'], ['masked samples', 'masked_samples', 'hack']]],
  ['Sampler against trainer', 'largest difference of a log-probability', [['difference', 'logp_difference_max', 'third']]],
  ['Time a step', 'seconds', [['step', 'step_seconds', 'third'], ['sample', 'sample_seconds', 'solve'], ['train', 'train_seconds', 'hack']]],
  ['Speed', 'tokens a second', [['tokens/s', 'tokens_per_second', 'third']]],
];
const rateSeries = (columns) => [
  {name: 'hack, strict', look: 'hack', values: columns.hack_rate_strict},
  {name: 'hack with the expert off', look: 'hack', dashed: true, values: columns.deploy_hack_rate_strict},
  {name: 'hack, loose', look: 'third', values: columns.hack_rate_loose},
  {name: 'solve', look: 'solve', values: columns.solve_rate},
];
