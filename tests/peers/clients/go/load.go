package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	rocketmq "github.com/apache/rocketmq-client-go/v2"
	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"
	"github.com/apache/rocketmq-client-go/v2/producer"
)

const (
	batchSize  = 32
	inFlight   = 1_000
	workers    = 20
	loadLimit  = 5 * time.Minute
	neverSmall = 1 << 30
)

// load sends or consumes as much as possible. It prints `begin` before and `done MESSAGES SECONDS`
// after what is measured, each until a line comes on the input: whoever measures looks meanwhile.
func load(workload, namesrv string, options map[string]string) {
	messages, bytes, callers := option(options, "messages", 100_000), option(options, "bytes", 128), option(options, "callers", 32)
	_, why := guarded(func() struct{} {
		k := &kit{namesrv: namesrv, prefix: "go-load-" + strconv.FormatInt(time.Now().UnixMilli(), 36)}
		defer k.close()
		k.broker = brokerOf(namesrv, k.prefix)
		topic := k.name(workload)
		k.makeTopic(topic, 4)
		from := k.producer(producer.WithCompressMsgBodyOverHowmuch(neverSmall))
		body := noise(1, bytes)
		single := func() { send(from, primitive.NewMessage(topic, body)) }
		many := func() { send(from, batchOf(topic, body)...) }
		switch workload {
		case "sync":
			each(callers, messages/10, 1, single)
			measured(messages, func() { each(callers, messages, 1, single) })
		case "async":
			async(from, topic, body, messages/10)
			measured(messages, func() { async(from, topic, body, messages) })
		case "batch":
			each(callers, messages/10, batchSize, many)
			measured(messages, func() { each(callers, messages, batchSize, many) })
		case "consume":
			each(4, messages, batchSize, many)
			measured(messages, func() { consumeAll(k, topic, bytes, messages) })
		default:
			fail("no workload is named %s", workload)
		}
		return struct{}{}
	})
	if why != "" {
		fmt.Println("FAILED", why)
		os.Exit(1)
	}
}

func option(options map[string]string, name string, otherwise int) int {
	if value, given := options[name]; given {
		number, err := strconv.Atoi(value)
		must(err, name)
		return number
	}
	return otherwise
}

var input = bufio.NewReader(os.Stdin)

func step(line string) {
	fmt.Println(line)
	input.ReadString('\n')
}

func measured(messages int, work func()) {
	step("begin")
	begin := time.Now()
	work()
	step(fmt.Sprintln("done", messages, time.Since(begin).Seconds()))
}

func batchOf(topic string, body []byte) (messages []*primitive.Message) {
	for i := 0; i < batchSize; i++ {
		messages = append(messages, primitive.NewMessage(topic, body))
	}
	return messages
}

// each: concurrent callers that share the messages, `size` a call.
func each(callers, messages, size int, call func()) {
	var left atomic.Int64
	left.Store(int64(messages))
	var all sync.WaitGroup
	failed := make(chan string, callers)
	for i := 0; i < callers; i++ {
		all.Add(1)
		go func() {
			defer all.Done()
			_, why := guarded(func() struct{} {
				for left.Add(-int64(size)) > -int64(size) {
					call()
				}
				return struct{}{}
			})
			if why != "" {
				failed <- why
			}
		}()
	}
	all.Wait()
	unless(len(failed) == 0, "a send failed")
}

func async(from rocketmq.Producer, topic string, body []byte, messages int) {
	places := make(chan struct{}, inFlight)
	var failed atomic.Int64
	for i := 0; i < messages; i++ {
		places <- struct{}{}
		must(from.SendAsync(context.Background(), func(_ context.Context, _ *primitive.SendResult, err error) {
			if err != nil {
				failed.Add(1)
			}
			<-places
		}, primitive.NewMessage(topic, body)), "an asynchronous send")
	}
	for i := 0; i < inFlight; i++ {
		places <- struct{}{}
	}
	unless(failed.Load() == 0, "%d sends failed", failed.Load())
}

func consumeAll(k *kit, topic string, bytes, messages int) {
	var left atomic.Int64
	left.Store(int64(messages))
	done := make(chan struct{})
	k.push(k.name("group"), topic, "*", func(_ context.Context, got ...*primitive.MessageExt) (consumer.ConsumeResult, error) {
		for _, message := range got {
			if len(message.Body) == bytes && left.Add(-1) == 0 {
				close(done)
			}
		}
		return consumer.ConsumeSuccess, nil
	}, consumer.WithConsumeGoroutineNums(workers))
	select {
	case <-done:
	case <-time.After(loadLimit):
		fail("%d did not arrive", left.Load())
	}
}
