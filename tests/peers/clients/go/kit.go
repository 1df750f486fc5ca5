package main

import (
	"bytes"
	"context"
	"fmt"
	"math/rand"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	rocketmq "github.com/apache/rocketmq-client-go/v2"
	"github.com/apache/rocketmq-client-go/v2/admin"
	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"
	"github.com/apache/rocketmq-client-go/v2/producer"
)

const (
	patience = 25 * time.Second
	settle   = 300 * time.Millisecond
)

// failure is what a scenario panics with.
type failure string

func fail(format string, values ...any) {
	panic(failure(fmt.Sprintf(format, values...)))
}

func unless(holds bool, format string, values ...any) {
	if !holds {
		fail(format, values...)
	}
}

func must(err error, what string) {
	unless(err == nil, "%s: %v", what, err)
}

func until(what string, holds func() bool) {
	for end := time.Now().Add(patience); !holds(); time.Sleep(50 * time.Millisecond) {
		unless(time.Now().Before(end), "not within %v: %s", patience, what)
	}
}

// item is what one message must look like when it arrives.
type item struct {
	key, tag   string
	body       []byte
	properties map[string]string
}

func text(key string) item {
	return item{key, "tag", []byte("body of " + key), map[string]string{"which": key}}
}

func tagged(key, tag string) item {
	return item{key: key, tag: tag, body: []byte(key)}
}

func texts(prefix string, count int) (items []item) {
	for i := 0; i < count; i++ {
		items = append(items, text(fmt.Sprint(prefix, "-", i)))
	}
	return items
}

// noise does not become smaller, and is the same for the same seed.
func noise(seed int64, length int) []byte {
	body := make([]byte, length)
	rand.New(rand.NewSource(seed)).Read(body)
	return body
}

func (i item) message(topic string) *primitive.Message {
	message := primitive.NewMessage(topic, bytes.Clone(i.body))
	message.WithKeys([]string{i.key})
	message.WithTag(i.tag)
	for name, value := range i.properties {
		message.WithProperty(name, value)
	}
	return message
}

// check compares everything that the sender chose.
func (i item) check(got *primitive.MessageExt) {
	unless(bytes.Equal(i.body, got.Body), "%s: the body differs, %d bytes sent, %d came",
		i.key, len(i.body), len(got.Body))
	unless(i.tag == got.GetTags(), "%s: the tag is %q", i.key, got.GetTags())
	for name, value := range i.properties {
		unless(value == got.GetProperty(name), "%s: property %s is %q instead of %q",
			i.key, name, got.GetProperty(name), value)
	}
}

type arrival struct {
	message *primitive.MessageExt
	at      time.Time
}

func (a arrival) key() string {
	return a.message.GetKeys()
}

// inbox is what arrived at one consumer, in the order in which it arrived.
type inbox struct {
	mutex    sync.Mutex
	arrivals []arrival
}

func (in *inbox) add(messages ...*primitive.MessageExt) {
	in.mutex.Lock()
	defer in.mutex.Unlock()
	for _, message := range messages {
		in.arrivals = append(in.arrivals, arrival{message, time.Now()})
	}
}

func (in *inbox) all() []arrival {
	in.mutex.Lock()
	defer in.mutex.Unlock()
	return append([]arrival(nil), in.arrivals...)
}

func (in *inbox) clear() {
	in.mutex.Lock()
	defer in.mutex.Unlock()
	in.arrivals = nil
}

// exactly waits for all of the items, each once and nothing else, and compares each.
func (in *inbox) exactly(items []item) []arrival {
	return await(items, true, in)
}

// await waits for the items in all of the inboxes together.
func await(items []item, once bool, inboxes ...*inbox) (all []arrival) {
	expected := map[string]item{}
	for _, each := range items {
		expected[each.key] = each
	}
	gather := func() map[string]int {
		all = nil
		times := map[string]int{}
		for _, in := range inboxes {
			all = append(all, in.all()...)
		}
		for _, each := range all {
			times[each.key()]++
		}
		return times
	}
	missing := ""
	end := time.Now().Add(patience)
	for missing = firstMissing(expected, gather()); missing != "" && time.Now().Before(end); {
		time.Sleep(20 * time.Millisecond)
		missing = firstMissing(expected, gather())
	}
	unless(missing == "", "%d of %d came, missing is %s", len(gather()), len(items), missing)
	if once {
		// Whatever is too much comes a moment later.
		time.Sleep(settle)
	}
	for key, times := range gather() {
		unless(!once || times == 1, "%s came %d times", key, times)
	}
	for _, each := range all {
		item, known := expected[each.key()]
		unless(known, "unexpected message %v", each.message)
		item.check(each.message)
	}
	return all
}

func firstMissing(expected map[string]item, times map[string]int) string {
	for key := range expected {
		if times[key] == 0 {
			return key
		}
	}
	return ""
}

// kit has names, clients and waits of one scenario; it ends what it started.
type kit struct {
	namesrv, prefix, broker string
	mutex                   sync.Mutex
	closing                 []func()
}

func (k *kit) close() {
	for i := len(k.closing) - 1; i >= 0; i-- {
		k.closing[i]()
	}
}

func (k *kit) atEnd(end func()) {
	k.mutex.Lock()
	defer k.mutex.Unlock()
	k.closing = append(k.closing, end)
}

func (k *kit) name(what string) string {
	return k.prefix + "-" + what
}

func (k *kit) servers() []string {
	return []string{k.namesrv}
}

var instances atomic.Int64

// instance: clients of one name share connections; here each has its own.
func instance() string {
	return fmt.Sprintf("peer-%d-%d", os.Getpid(), instances.Add(1))
}

// brokerOf learns the broker's address, which no other call tells, from the id of a message.
func brokerOf(namesrv, run string) string {
	k := &kit{namesrv: namesrv, prefix: run}
	defer k.close()
	result := send(k.producer(), text("start").message(k.name("start")))
	id, err := primitive.UnmarshalMsgID([]byte(result.OffsetMsgID))
	must(err, "an offset id")
	return id.Addr + ":" + strconv.Itoa(id.Port)
}

// topic makes one, before anybody may ask for its route.
func (k *kit) topic(queues int) string {
	topic := k.name("topic")
	k.makeTopic(topic, queues)
	return topic
}

func (k *kit) makeTopic(topic string, queues int) {
	tool, err := admin.NewAdmin(admin.WithResolver(primitive.NewPassthroughResolver(k.servers())))
	must(err, "admin")
	must(tool.CreateTopic(context.Background(), admin.WithTopicCreate(topic),
		admin.WithBrokerAddrCreate(k.broker), admin.WithReadQueueNums(queues),
		admin.WithWriteQueueNums(queues), admin.WithPerm(6)), "create "+topic)
	until("a route to "+topic, func() bool {
		found, err := tool.FetchPublishMessageQueues(context.Background(), topic)
		return err == nil && len(found) == queues
	})
}

func (k *kit) producerOptions(options []producer.Option) []producer.Option {
	return append([]producer.Option{producer.WithNameServer(k.servers()),
		producer.WithInstanceName(instance()), producer.WithGroupName(k.name("producer")),
		producer.WithSendMsgTimeout(10 * time.Second)}, options...)
}

func (k *kit) producer(options ...producer.Option) rocketmq.Producer {
	made, err := rocketmq.NewProducer(k.producerOptions(options)...)
	must(err, "a producer")
	must(made.Start(), "a producer's start")
	k.atEnd(func() { made.Shutdown() })
	return made
}

type handler = func(context.Context, ...*primitive.MessageExt) (consumer.ConsumeResult, error)

// push starts a consumer; ending it before the scenario ends is fine, too.
func (k *kit) push(group, topic, tags string, handle handler, options ...consumer.Option) rocketmq.PushConsumer {
	made, err := rocketmq.NewPushConsumer(append([]consumer.Option{
		consumer.WithNameServer(k.servers()), consumer.WithInstance(instance()),
		consumer.WithGroupName(group), consumer.WithConsumeFromWhere(consumer.ConsumeFromFirstOffset),
	}, options...)...)
	must(err, "a consumer")
	selector := consumer.MessageSelector{Type: consumer.TAG, Expression: tags}
	must(made.Subscribe(topic, selector, handle), "subscribe")
	must(made.Start(), "a consumer's start")
	k.atEnd(func() { made.Shutdown() })
	return made
}

// into is a handler that only puts messages into an inbox.
func into(in *inbox) handler {
	return func(_ context.Context, messages ...*primitive.MessageExt) (consumer.ConsumeResult, error) {
		in.add(messages...)
		return consumer.ConsumeSuccess, nil
	}
}

func (k *kit) collect(topic string) *inbox {
	in := &inbox{}
	k.push(k.name("group"), topic, "*", into(in))
	return in
}

func send(from rocketmq.Producer, messages ...*primitive.Message) *primitive.SendResult {
	result, err := from.SendSync(context.Background(), messages...)
	must(err, "a send")
	unless(result.Status == primitive.SendOK, "a send's status is %v", result.Status)
	unless(result.OffsetMsgID != "", "an offset id is missing: %v", result)
	return result
}

func sendAll(from rocketmq.Producer, topic string, items []item) {
	for _, each := range items {
		send(from, each.message(topic))
	}
}
