// modesl, as its documentation shows: a Connection, a listener for the event. NODE_PATH says where the module is.
const esl = require('modesl');

const [port, count, , variable] = process.argv.slice(2);
let left = Number(count);
let began;
const connection = new esl.Connection('127.0.0.1', Number(port), count, () => {
  connection.on('esl::event::CHANNEL_EXECUTE_COMPLETE::*', (event) => {
    if (event.getHeader('Event-Name') !== 'CHANNEL_EXECUTE_COMPLETE') throw new Error('the event reads wrongly');
    if (!event.getHeader('Application-UUID')) throw new Error('the event reads wrongly');
    if (event.getHeader('variable_' + variable) !== '4711') throw new Error('the event reads wrongly');
    left -= 1;
    if (left === 0) {
      const used = process.cpuUsage(began);
      console.log((used.user + used.system) / 1e6);
      process.exit(0);
    }
  });
  began = process.cpuUsage();
  connection.events('plain', 'CHANNEL_EXECUTE_COMPLETE');
});
