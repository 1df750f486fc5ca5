package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	rocketmq "github.com/apache/rocketmq-client-go/v2"
	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"
	"github.com/apache/rocketmq-client-go/v2/producer"
)

// receiving is when, where, how often and in which order messages come.
func receiving() []scenario {
	return []scenario{
		{"transactions", transactions}, {"delayed", delayed}, {"dead_letters", deadLetters},
		{"rebalance", rebalance}, {"restart", restart}, {"start", start}, {"broadcast", broadcast},
		{"ordered", ordered}, {"tags", tags}, {"long_poll", longPoll}, {"pull", pull},
	}
}

type listener struct {
	mutex  sync.Mutex
	checks map[string]int
	items  map[string]item
	wrong  string
}

func (l *listener) ExecuteLocalTransaction(message *primitive.Message) primitive.LocalTransactionState {
	switch key := message.GetKeys(); {
	case strings.HasPrefix(key, "commit"):
		return primitive.CommitMessageState
	case strings.HasPrefix(key, "rollback"):
		return primitive.RollbackMessageState
	default:
		return primitive.UnknowState
	}
}

// CheckLocalTransaction: at first it is still unknown, then the key says what became of it.
func (l *listener) CheckLocalTransaction(message *primitive.MessageExt) primitive.LocalTransactionState {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	key := message.GetKeys()
	if _, why := guarded(func() int { l.items[key].check(message); return 0 }); why != "" {
		l.wrong = why
	}
	l.checks[key]++
	switch {
	case l.checks[key] == 1 && strings.HasPrefix(key, "unknown"):
		return primitive.UnknowState
	case strings.Contains(key, "commit"):
		return primitive.CommitMessageState
	default:
		return primitive.RollbackMessageState
	}
}

func transactions(k *kit) {
	topic := k.topic(4)
	in := k.collect(topic)
	told := &listener{checks: map[string]int{}, items: map[string]item{}}
	var expected, items []item
	for i := 0; i < 4; i++ {
		for _, kind := range []string{"commit", "rollback", "unknown-commit", "unknown-rollback"} {
			each := text(fmt.Sprint(kind, "-", i))
			told.items[each.key] = each
			items = append(items, each)
			if strings.HasSuffix(kind, "commit") {
				expected = append(expected, each)
			}
		}
	}
	from, err := rocketmq.NewTransactionProducer(told, k.producerOptions(nil)...)
	must(err, "a transaction producer")
	must(from.Start(), "its start")
	k.atEnd(func() { from.Shutdown() })
	for _, each := range items {
		result, err := from.SendMessageInTransaction(context.Background(), each.message(topic))
		must(err, "a send in a transaction")
		unless(result.Status == primitive.SendOK, "its status is %v", result.Status)
	}
	await(expected, false, in)
	until("both checks of all that was unknown", func() bool {
		told.mutex.Lock()
		defer told.mutex.Unlock()
		twice := 0
		for _, times := range told.checks {
			if times >= 2 {
				twice++
			}
		}
		return twice >= 8
	})
	times := map[string]int{}
	for _, each := range await(expected, false, in) {
		unless(each.message.Topic == topic, "the topic is %s", each.message.Topic)
		times[each.key()]++
	}
	for key, came := range times {
		// Apache's broker may check once more before it noted a decision, and then commits twice.
		unless(came == 1 || strings.HasPrefix(key, "unknown"), "%s came %d times", key, came)
	}
	told.mutex.Lock()
	defer told.mutex.Unlock()
	unless(told.wrong == "", "checked %s", told.wrong)
	for key := range told.checks {
		unless(strings.HasPrefix(key, "unknown"), "%s was checked although it was decided", key)
	}
}

// delayed: not before their time, and within one level in the order of sending.
func delayed(k *kit) {
	topic := k.topic(1)
	in := &inbox{}
	k.push(k.name("group"), topic, "*", into(in), consumer.WithConsumerOrder(true))
	from := k.producer()
	due := map[string]time.Time{}
	var items []item
	for _, level := range []int{2, 1} {
		for i := 0; i < 5; i++ {
			each := text(fmt.Sprint("level-", level, "-", i))
			wait := map[int]time.Duration{1: time.Second, 2: 5 * time.Second}[level]
			due[each.key] = time.Now().Add(wait)
			send(from, each.message(topic).WithDelayTimeLevel(level))
			items = append(items, each)
		}
	}
	for i, each := range in.exactly(items) {
		late := each.at.Sub(due[each.key()])
		// The broker may count from when it stored, in its own milliseconds.
		unless(late > -20*time.Millisecond, "%s came %v early", each.key(), -late)
		unless(late < 6*time.Second, "%s came %v late", each.key(), late)
		unless(each.message.Topic == topic, "the topic is %s", each.message.Topic)
		expected := fmt.Sprint("level-", 1+i/5, "-", i%5)
		unless(each.key() == expected, "%s came instead of %s", each.key(), expected)
	}
}

// deadLetters: one retry after 1 s, another, then the topic of dead letters.
func deadLetters(k *kit) {
	topic := k.topic(2)
	group := k.name("group")
	// Otherwise made by the first heartbeat, and this client looks at routes only every 30 s.
	k.makeTopic("%RETRY%"+group, 1)
	in := &inbox{}
	var mutex sync.Mutex
	attempts := map[string][]int32{}
	k.push(group, topic, "*", func(c context.Context, messages ...*primitive.MessageExt) (consumer.ConsumeResult, error) {
		in.add(messages...)
		mutex.Lock()
		defer mutex.Unlock()
		key := messages[0].GetKeys()
		attempts[key] = append(attempts[key], messages[0].ReconsumeTimes)
		if told, has := primitive.GetConcurrentlyCtx(c); has {
			told.DelayLevelWhenNextConsume = 1
		}
		// `once` fails only once, `good` never.
		if strings.HasPrefix(key, "bad") || strings.HasPrefix(key, "once") && len(attempts[key]) == 1 {
			return consumer.ConsumeRetryLater, nil
		}
		return consumer.ConsumeSuccess, nil
	}, consumer.WithMaxReconsumeTimes(2))
	bad := texts("bad", 3)
	items := append(append(append([]item{}, bad...), texts("once", 3)...), texts("good", 3)...)
	sendAll(k.producer(), topic, items)
	until("all attempts", func() bool {
		mutex.Lock()
		defer mutex.Unlock()
		return len(attempts["bad-0"]) >= 3 && len(attempts["bad-1"]) >= 3 && len(attempts["bad-2"]) >= 3
	})
	letters := &inbox{}
	var undertaker rocketmq.PushConsumer
	until("a topic of dead letters", func() bool {
		made, why := guarded(func() rocketmq.PushConsumer {
			return k.push(k.name("undertaker")+instance(), "%DLQ%"+group, "*", into(letters))
		})
		undertaker = made
		return why == ""
	})
	unless(undertaker != nil, "no consumer of dead letters")
	for _, each := range letters.exactly(bad) {
		origin := each.message.GetProperty(primitive.PropertyRetryTopic)
		unless(origin == topic, "a dead letter came from %q", origin)
	}
	await(items, false, in)
	mutex.Lock()
	defer mutex.Unlock()
	for kind, expected := range map[string]string{"bad": "[0 1 2]", "once": "[0 1]", "good": "[0]"} {
		for i := 0; i < 3; i++ {
			key := fmt.Sprint(kind, "-", i)
			unless(fmt.Sprint(attempts[key]) == expected, "reconsume times of %s: %v", key, attempts[key])
		}
	}
}

// rebalance: one consumer, two, one again; while messages come all the time.
func rebalance(k *kit) {
	const queues = 8
	topic := k.topic(queues)
	group := k.name("group")
	from := k.producer()
	first, second := &inbox{}, &inbox{}
	var everything []item
	burst := func(name string) []item {
		items := texts(name, 10*queues)
		sendAll(from, topic, items)
		everything = append(everything, items...)
		await(everything, false, first, second)
		return items
	}
	k.push(group, topic, "*", into(first))
	burst("alone")
	two := k.push(group, topic, "*", into(second))
	// Each round, until every queue has one owner and both own half of them. The broker tells of the
	// newcomer; without that it would take the client's own 20 s.
	joined := time.Now()
	settled(func(round int) bool {
		return shares(burst(fmt.Sprint("joining-", round)), first, second) == [2]int{queues / 2, queues / 2}
	})
	unless(time.Since(joined) < 15*time.Second, "joining took %v", time.Since(joined))
	left := time.Now()
	two.Shutdown()
	settled(func(round int) bool {
		return shares(burst(fmt.Sprint("leaving-", round)), first, second) == [2]int{queues, 0}
	})
	unless(time.Since(left) < 15*time.Second, "leaving took %v", time.Since(left))
	deliveries := len(await(everything, false, first, second))
	unless(deliveries < len(everything)*3/2, "%d deliveries of %d messages", deliveries, len(everything))
}

func settled(holds func(round int) bool) {
	for round := 0; !holds(round); round++ {
		unless(round < 20, "queues and consumers don't settle")
		time.Sleep(time.Second)
	}
}

// shares counts the queues whose messages, of these items, came to the one or the other only.
func shares(items []item, inboxes ...*inbox) (count [2]int) {
	of := map[string]bool{}
	for _, each := range items {
		of[each.key] = true
	}
	owners := map[int]map[int]bool{}
	for i, in := range inboxes {
		for _, each := range in.all() {
			if of[each.key()] {
				queue := each.message.Queue.QueueId
				if owners[queue] == nil {
					owners[queue] = map[int]bool{}
				}
				owners[queue][i] = true
			}
		}
	}
	for _, who := range owners {
		for i := range count {
			if len(who) == 1 && who[i] {
				count[i]++
			}
		}
	}
	return count
}

// restart: what was consumed before is not consumed again.
func restart(k *kit) {
	topic := k.topic(4)
	from := k.producer()
	for _, part := range []string{"first", "second", "third"} {
		items := texts(part, 50)
		sendAll(from, topic, items)
		in := &inbox{}
		made := k.push(k.name("group"), topic, "*", into(in))
		in.exactly(items)
		made.Shutdown()
		// Its commits are one-way, and no call of this client tells when they are done.
		time.Sleep(1500 * time.Millisecond)
	}
}

// start: a topic whose first message is still there is read from its beginning by a new group,
// whatever the group asks for: the broker then answers 0 for an offset that nobody committed.
func start(k *kit) {
	topic := k.topic(2)
	items := texts("start", 20)
	sendAll(k.producer(), topic, items)
	var inboxes []*inbox
	for i, where := range []consumer.ConsumeFromWhere{consumer.ConsumeFromFirstOffset,
		consumer.ConsumeFromLastOffset, consumer.ConsumeFromTimestamp} {
		in := &inbox{}
		inboxes = append(inboxes, in)
		k.push(fmt.Sprint(k.name("group"), i), topic, "*", into(in), consumer.WithConsumeFromWhere(where),
			consumer.WithConsumeTimestamp(time.Now().Add(-time.Minute).Format("20060102150405")))
	}
	for _, in := range inboxes {
		in.exactly(items)
	}
}

// broadcast: each of two consumers of one group gets everything.
func broadcast(k *kit) {
	topic := k.topic(4)
	inboxes := []*inbox{{}, {}}
	for _, in := range inboxes {
		k.push(k.name("group"), topic, "*", into(in), consumer.WithConsumerModel(consumer.BroadCasting))
	}
	items := texts("broadcast", 100)
	sendAll(k.producer(), topic, items)
	for _, in := range inboxes {
		in.exactly(items)
	}
}

// ordered: of each sharding key in order.
func ordered(k *kit) {
	topic := k.topic(4)
	in := &inbox{}
	k.push(k.name("group"), topic, "*", into(in), consumer.WithConsumerOrder(true))
	from := k.producer(producer.WithQueueSelector(producer.NewHashQueueSelector()))
	var items []item
	for i := 0; i < 50; i++ {
		for key := 0; key < 8; key++ {
			each := text(fmt.Sprint("key", key, "-", i))
			send(from, each.message(topic).WithShardingKey(fmt.Sprint("key", key)))
			items = append(items, each)
		}
	}
	next := map[string]int{}
	queues := map[string]int{}
	for _, each := range in.exactly(items) {
		key := strings.Split(each.key(), "-")[0]
		unless(each.message.GetShardingKey() == key, "the sharding key of %s is %q", each.key(), each.message.GetShardingKey())
		expected := fmt.Sprint(key, "-", next[key])
		unless(each.key() == expected, "%s came instead of %s", each.key(), expected)
		queue := each.message.Queue.QueueId
		unless(next[key] == 0 || queues[key] == queue, "%s is in two queues", key)
		next[key]++
		queues[key] = queue
	}
}

func tags(k *kit) {
	topic := k.topic(2)
	some, none, all := &inbox{}, &inbox{}, &inbox{}
	k.push(k.name("some"), topic, "a || b", into(some))
	k.push(k.name("none"), topic, "nobody", into(none))
	k.push(k.name("all"), topic, "*", into(all))
	var both, everything []item
	for i := 0; i < 10; i++ {
		for _, tag := range []string{"a", "b", "c", ""} {
			each := tagged(fmt.Sprint("tag", tag, "-", i), tag)
			everything = append(everything, each)
			if tag == "a" || tag == "b" {
				both = append(both, each)
			}
		}
	}
	sendAll(k.producer(), topic, everything)
	all.exactly(everything)
	some.exactly(both)
	unless(len(none.all()) == 0, "messages came of a tag that nobody uses")
}

// longPoll: a consumer that has waited for a while hears of a message at once.
func longPoll(k *kit) {
	topic := k.topic(1)
	from := k.producer()
	in := k.collect(topic)
	first := texts("first", 1)
	sendAll(from, topic, first)
	in.exactly(first)
	for i := 0; i < 3; i++ {
		in.clear()
		time.Sleep(2500 * time.Millisecond)
		items := texts(fmt.Sprint("later-", i), 1)
		begin := time.Now()
		sendAll(from, topic, items)
		waited := in.exactly(items)[0].at.Sub(begin)
		unless(waited < 1500*time.Millisecond, "waited %v", waited)
	}
}

// pull: from offsets of one's choice; this client has no call for the offset of a time.
func pull(k *kit) {
	topic := k.topic(1)
	from := k.producer()
	items := texts("pull", 20)
	queue := send(from, items[0].message(topic)).MessageQueue
	sendAll(from, topic, items[1:])
	made, err := rocketmq.NewPullConsumer(consumer.WithNameServer(k.servers()),
		consumer.WithInstance(instance()), consumer.WithGroupName(k.name("group")))
	must(err, "a pull consumer")
	must(made.Subscribe(topic, consumer.MessageSelector{Type: consumer.TAG, Expression: "*"}), "subscribe")
	must(made.Start(), "a pull consumer's start")
	k.atEnd(func() { made.Shutdown() })
	for begin := range items {
		result, err := made.PullFrom(context.Background(), queue, int64(begin), 5)
		must(err, "a pull")
		unless(result.Status == primitive.PullFound, "the status is %v", result.Status)
		got := result.GetMessageExts()
		unless(len(got) > 0 && len(got) <= 5, "%d messages", len(got))
		unless(result.NextBeginOffset == int64(begin+len(got)), "the next offset is %d", result.NextBeginOffset)
		unless(result.MaxOffset == 20 && result.MinOffset == 0, "offsets %d to %d", result.MinOffset, result.MaxOffset)
		for i, message := range got {
			unless(message.GetKeys() == items[begin+i].key, "%s at %d", message.GetKeys(), begin+i)
			items[begin+i].check(message)
		}
	}
}
