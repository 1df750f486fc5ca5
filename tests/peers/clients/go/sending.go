package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/apache/rocketmq-client-go/v2/primitive"
	"github.com/apache/rocketmq-client-go/v2/producer"
)

// sending is ways to send, and what a message may contain; each is checked at a push consumer.
func sending() []scenario {
	return []scenario{
		{"sync", sendSync}, {"async", sendAsync}, {"oneway", sendOneway}, {"batch", sendBatch},
		{"compression", compression}, {"contents", contents}, {"refusals", refusals},
	}
}

// sendSync sends to a topic that the broker makes from its template; queue offsets count from 0.
func sendSync(k *kit) {
	from := k.producer()
	topic := k.name("topic")
	items := texts("sync", 100)
	next := map[int]int64{}
	for _, each := range items {
		result := send(from, each.message(topic))
		queue := result.MessageQueue.QueueId
		unless(result.QueueOffset == next[queue], "queue offset %d instead of %d",
			result.QueueOffset, next[queue])
		next[queue]++
	}
	unless(len(next) == 4, "%d queues of a topic made by sending", len(next))
	k.collect(topic).exactly(items)
}

func sendAsync(k *kit) {
	from := k.producer()
	topic := k.topic(4)
	in := k.collect(topic)
	items := texts("async", 500)
	var answers sync.WaitGroup
	failed := make(chan error, len(items))
	for _, each := range items {
		answers.Add(1)
		must(from.SendAsync(context.Background(), func(_ context.Context, result *primitive.SendResult, err error) {
			defer answers.Done()
			if err != nil {
				failed <- err
			} else if result.Status != primitive.SendOK {
				failed <- fmt.Errorf("status %v", result.Status)
			}
		}, each.message(topic)), "an asynchronous send")
	}
	done := make(chan struct{})
	go func() {
		answers.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(patience):
		fail("asynchronous sends without an answer")
	}
	unless(len(failed) == 0, "%d sends failed", len(failed))
	in.exactly(items)
}

func sendOneway(k *kit) {
	from := k.producer()
	topic := k.topic(4)
	in := k.collect(topic)
	items := texts("oneway", 100)
	for _, each := range items {
		must(from.SendOneWay(context.Background(), each.message(topic)), "a one-way send")
	}
	in.exactly(items)
}

// sendBatch: each message of a batch has an offset of its own, one after the other.
func sendBatch(k *kit) {
	from := k.producer()
	topic := k.topic(2)
	in := k.collect(topic)
	items := texts("batch", 96)
	ids := map[string]bool{}
	for i := 0; i < len(items); i += 32 {
		var messages []*primitive.Message
		for _, each := range items[i : i+32] {
			messages = append(messages, each.message(topic))
		}
		for _, id := range strings.Split(send(from, messages...).OffsetMsgID, ",") {
			ids[id] = true
		}
	}
	unless(len(ids) == len(items), "%d distinct offset ids of %d messages", len(ids), len(items))
	offsets := map[string]bool{}
	count := map[int]int64{}
	for _, each := range in.exactly(items) {
		unless(ids[each.message.OffsetMsgId], "nobody was told the id %s", each.message.OffsetMsgId)
		offsets[fmt.Sprint(each.message.Queue.QueueId, "/", each.message.QueueOffset)] = true
		count[each.message.Queue.QueueId]++
	}
	for queue, messages := range count {
		for offset := int64(0); offset < messages; offset++ {
			unless(offsets[fmt.Sprint(queue, "/", offset)], "no offset %d in queue %d", offset, queue)
		}
	}
}

// compression: bodies from 4096 bytes on are compressed by the client and must arrive restored.
func compression(k *kit) {
	from := k.producer()
	topic := k.topic(2)
	in := k.collect(topic)
	var items []item
	for _, length := range []int{4_095, 4_096, 20_000, 400_000} {
		body := strings.Repeat("compressible, ", length/14+1)[:length]
		items = append(items, item{key: fmt.Sprint("length-", length), body: []byte(body)})
	}
	sendAll(from, topic, items)
	for _, each := range in.exactly(items) {
		compressed := int(each.message.StoreSize) < len(each.message.Body)
		unless(compressed == (len(each.message.Body) > 4_095), "%s is compressed: %v", each.key(), compressed)
	}
}

func contents(k *kit) {
	from := k.producer()
	topic := k.topic(2)
	in := k.collect(topic)
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	items := []item{
		{key: "all-bytes", body: every},
		{key: "one-byte", body: []byte{0}},
		{key: "hundred-kib", body: noise(1, 100*1024)},
		{key: "three-mib", body: noise(2, 3*1024*1024)},
		{key: "unicode", tag: "标签", body: []byte("Grüße, 世界, 🚀"), properties: map[string]string{
			"größe": "überall", "国": "中文 with spaces", "emoji": "🚀🚀", "json": `{"a":[1,2],"b":"\\"}`}},
		{key: "long-property", body: []byte{1}, properties: map[string]string{"long": strings.Repeat("x", 20_000)}},
		{key: "two keys", body: []byte{2}, properties: map[string]string{"equals": "a=b;c&d"}},
	}
	for _, each := range items {
		message := each.message(topic)
		message.Flag = 4711
		send(from, message)
	}
	for _, each := range in.exactly(items) {
		unless(each.message.Flag == 4711, "the flag is %d", each.message.Flag)
		unless(each.message.Topic == topic, "the topic is %s", each.message.Topic)
	}
}

func refusals(k *kit) {
	from := k.producer(producer.WithRetry(0))
	topic := k.topic(1)
	// Above the 4 MiB that the broker takes; this client has no check of its own.
	_, err := from.SendSync(context.Background(), primitive.NewMessage(topic, noise(3, 5*1024*1024)))
	refused("a message of 5 MiB", 13, err)
	// The connection must survive that.
	send(from, text("after").message(topic))
}

// refused: the client tells the broker's code only in its text.
func refused(what string, code int, err error) {
	unless(err != nil, "%s was not refused", what)
	var told int
	_, unclear := fmt.Sscanf(err.Error(), "CODE: %d", &told)
	unless(unclear == nil && told == code, "%s: not code %d but %v", what, code, err)
}
