package main

import (
	"encoding/hex"
	"fmt"
	"os"
	"strings"
)

// readback compares what is in a topic with a file, whose lines are key, tag, the key that orders
// (or nothing) and body in hexadecimal digits, with tabs between: each message once, byte for byte,
// and those of one ordering key in the order of the lines.
func readback(namesrv, topic, file string) {
	text, err := os.ReadFile(file)
	must(err, "the file")
	var items []item
	order := map[string][]string{}
	for _, line := range strings.Split(strings.TrimSpace(string(text)), "\n") {
		fields := strings.Split(line, "\t")
		unless(len(fields) == 4, "a line of %d fields", len(fields))
		body, err := hex.DecodeString(fields[3])
		must(err, "a body")
		items = append(items, item{key: fields[0], tag: fields[1], body: body})
		if fields[2] != "" {
			order[fields[2]] = append(order[fields[2]], fields[0])
		}
	}
	k := &kit{namesrv: namesrv, prefix: "readback-" + topic}
	defer k.close()
	arrivals := k.collect(topic).exactly(items)
	offsets := map[string]int64{}
	queues := map[string]int{}
	for _, each := range arrivals {
		offsets[each.key()] = each.message.QueueOffset
		queues[each.key()] = each.message.Queue.QueueId
	}
	for key, keys := range order {
		for i := 1; i < len(keys); i++ {
			unless(queues[keys[i]] == queues[keys[0]], "%s: several queues", key)
			unless(offsets[keys[i-1]] < offsets[keys[i]], "%s: %s before %s", key, keys[i], keys[i-1])
		}
	}
	fmt.Println("ok", len(arrivals))
}
