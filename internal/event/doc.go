// Package event is EventBridge: buses, rules with patterns and schedules, their targets, connections
// and API destinations, archives and replays, and the way of an event from whoever publishes it to
// the queue of deliveries.
//
// Promises: an event that was accepted, and every delivery that the rules make of it, are written in
// one commit, that of the change which the event tells when the publisher has one; so nothing is lost
// and nothing is told that did not happen, whatever crashes. What a target gets is decided when the
// event is published. Secrets of connections are stored sealed and shown to nobody.
//
// It sends nothing: package queue keeps the deliveries and a job carries them out. The records are in
// memory; a store has one node that writes them.
package event
