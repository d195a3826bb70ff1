// What stands in front of the page: keys, the token, a question.
import {token} from './api.js';

const open = (dialog, ...content) => {
  dialog.replaceChildren(...content);
  dialog.showModal();
};

const kKeys = [
  ['Everywhere', [['?', 'this list'], ['r', 'all runs'], ['c', 'compare'], ['t', 'colours: as the system, light, dark'], ['Esc', 'leave a field or a list of this kind']]],
  ['Runs', [['j k', 'next, previous run'], ['Enter', 'open it'], ['x', 'choose it for a comparison'], ['/', 'search']]],
  ['A run', [['[ ]', 'previous, next tab'], ['← →', 'on the step slider: one step']]],
  ['Rollouts, events', [['j k', 'next, previous (also ↓ ↑)'], ['Page Up, Page Down, Home, End', 'further'], [', .', 'previous, next step with rollouts'], ['/', 'search']]],
];
export const showHelp = () => {
  const close = tag('button', {type: 'button', textContent: 'Close'});
  close.addEventListener('click', () => byId('help').close());
  const groups = kKeys.map(([name, keys]) => tag('section', {}, tag('h3', {textContent: name}),
    tag('dl', {}, ...keys.map(([key, what]) => tag('div', {}, tag('dt', {}, ...key.split(' ').map((one) => tag('kbd', {textContent: one}))), tag('dd', {textContent: what}))))));
  open(byId('help'), tag('h2', {id: 'help-title', textContent: 'Keys'}), ...groups, close);
};

// One question at a time: whoever else needs a token waits for the same answer.
let asking = null;
export const askToken = () => {
  asking ??= new Promise((resolve) => {
    const dialog = byId('ask');
    const input = tag('input', {type: 'password', id: 'token', autocomplete: 'off', required: true, maxLength: 512});
    const problem = token.get() ? 'That token is not known here. ' : '';
    const form = tag('form', {},
      tag('h2', {id: 'ask-title', textContent: 'Token'}),
      tag('p', {textContent: `${problem}This coordinator answers holders of a token of role read, or submit to act on runs. It is kept in this tab until you close it.`}),
      tag('label', {htmlFor: 'token', textContent: 'Token'}), input,
      tag('p', {className: 'row'}, tag('button', {type: 'submit', textContent: 'Use it'})));
    const done = (given) => {
      dialog.onclose = null;
      dialog.close();
      asking = null;
      resolve(given);
    };
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      token.set(input.value.trim());
      // What the token allows is asked anew.
      location.reload();
    });
    dialog.onclose = () => done(false);
    open(dialog, form);
    input.focus();
  });
  return asking;
};

export const confirmAction = (title, text, yes) => new Promise((resolve) => {
  const dialog = byId('ask');
  const go = tag('button', {type: 'button', className: 'danger', textContent: yes});
  const stay = tag('button', {type: 'button', textContent: 'Leave it'});
  go.addEventListener('click', () => { dialog.onclose = null; dialog.close(); resolve(true); });
  stay.addEventListener('click', () => dialog.close());
  dialog.onclose = () => resolve(false);
  open(dialog, tag('h2', {id: 'ask-title', textContent: title}), tag('p', {textContent: text}), tag('p', {className: 'row'}, go, stay));
  stay.focus();
});
