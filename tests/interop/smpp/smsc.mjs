// node-smpp as a carrier. Prints its port, then one line of JSON for each submit_sm. Its manners go
// by the system_id that binds; a text that begins with "echo " is sent back without that.

import smpp from "smpp";

const RECEIPT = 0x04;
const DELIVERED = 2;
let number = 0x0a1b2c;

// How the number of a message is written in the response and in the receipt, and what comes first.
const MANNERS = {
  plain: { response: String, receipt: String },
  early: { response: String, receipt: String, isEarly: true },
  hex: { response: String, receipt: (n) => n.toString(16).toUpperCase().padStart(10, "0") },
  bare: { response: String, receipt: String, hasNoText: true },
  failing: { response: String, receipt: String, stat: "UNDELIV", err: "0A1" },
  throttling: { response: String, receipt: String, throttles: 2 },
};

function appendixB(id, { stat = "DELIVRD", err = "000" }) {
  const dlvrd = stat === "DELIVRD" ? "001" : "000";
  const date = new Date().toISOString().replace(/\D/g, "").slice(2, 12);
  const dates = `submit date:${date} done date:${date}`;
  return `id:${id} sub:001 dlvrd:${dlvrd} ${dates} stat:${stat} err:${err} text:`;
}

function receiptFor(pdu, id, manner) {
  const said = manner.hasNoText
    ? { receipted_message_id: id, message_state: DELIVERED }
    : { short_message: appendixB(id, manner) };
  return {
    source_addr_ton: pdu.dest_addr_ton,
    source_addr_npi: pdu.dest_addr_npi,
    source_addr: pdu.destination_addr,
    destination_addr: pdu.source_addr,
    esm_class: RECEIPT,
    data_coding: 0,
    ...said,
  };
}

function echoOf(pdu, text) {
  return {
    source_addr_ton: 1,
    source_addr_npi: 1,
    source_addr: pdu.destination_addr,
    dest_addr_ton: 1,
    dest_addr_npi: 1,
    destination_addr: pdu.source_addr,
    short_message: text.slice("echo ".length),
    data_coding: 0,
  };
}

function note(pdu, message) {
  const { source_addr, destination_addr, esm_class, data_coding } = pdu;
  const noted = { source_addr, destination_addr, esm_class, data_coding };
  console.log(JSON.stringify({ ...noted, text: message, udh: pdu.short_message.udh ?? [] }));
}

function take(session, pdu, manner) {
  if (manner.throttles > 0) {
    manner.throttles -= 1;
    session.send(pdu.response({ command_status: smpp.ESME_RTHROTTLED }));
    return;
  }
  const text = pdu.message_payload?.message ?? pdu.short_message.message;
  note(pdu, text);
  number += 1;
  const receipt = receiptFor(pdu, manner.receipt(number), manner);
  if (manner.isEarly) session.deliver_sm(receipt);
  session.send(pdu.response({ message_id: manner.response(number) }));
  if (!manner.isEarly) session.deliver_sm(receipt);
  if (text.startsWith("echo ")) session.deliver_sm(echoOf(pdu, text));
}

const server = smpp.createServer((session) => {
  let manner;
  session.on("error", (error) => console.error(error.message));
  session.on("bind_transceiver", (pdu) => {
    manner = MANNERS[pdu.system_id];
    const command_status = manner && pdu.password === "secret08" ? 0 : smpp.ESME_RBINDFAIL;
    session.send(pdu.response({ command_status, system_id: "node-smpp" }));
  });
  session.on("submit_sm", (pdu) => take(session, pdu, manner));
  session.on("enquire_link", (pdu) => session.send(pdu.response()));
  session.on("unbind", (pdu) => session.send(pdu.response(), () => session.close()));
});

server.listen(0, "127.0.0.1", () => console.log(server.address().port));
