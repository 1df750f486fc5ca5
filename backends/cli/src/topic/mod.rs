//! `turbopump topic`: makes, lists, describes and deletes topics.

mod arguments;
mod show;

use core::error::Error;

use serde_json::json;

use turbopump::runtime::backend::Backend;
use turbopump::runtime::client::{Admin, AdminError, Client, TopicKind};

use crate::administer::{is_meant, say, told};
use crate::arguments::BackendName;
use crate::exit::Ended;

pub(crate) use arguments::TopicArguments;
use arguments::{CreateArguments, DeleteArguments, DescribeArguments, ListArguments, TopicCommand};
use show::Described;

pub(crate) fn run(arguments: &TopicArguments) -> Result<Ended, Box<dyn Error>> {
    let command = &arguments.command;
    if let TopicCommand::Delete(delete) = command {
        let name = &delete.name;
        let question = format!("Delete the topic {name:?} with all its messages?");
        let why = format!("deleting the topic {name:?} deletes its messages");
        if !is_meant(delete.yes, &question, &why)? {
            eprintln!("turbopump: nothing was deleted");
            return Ok(Ended::Badly);
        }
    }
    match command.client().backend {
        BackendName::Tokio => {
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
            let backend = turbopump::tokio::Backend::on(runtime.handle().clone());
            runtime.block_on(administer(backend, command))
        }
        BackendName::Smol => {
            let backend = turbopump::smol::Backend::new();
            smol::block_on(administer(backend, command))
        }
    }
}

async fn administer<B: Backend>(
    backend: B,
    command: &TopicCommand,
) -> Result<Ended, Box<dyn Error>> {
    let client = Client::start(backend, command.client().settings()?).await?;
    let admin = client.admin();
    let ended = match command {
        TopicCommand::Create(arguments) => create(&admin, arguments).await,
        TopicCommand::List(arguments) => list(&admin, arguments).await,
        TopicCommand::Describe(arguments) => describe(&admin, arguments).await,
        TopicCommand::Delete(arguments) => delete(&admin, arguments).await,
    };
    client.close().await;
    ended.or_else(|error| told(error, command.client().json))
}

async fn create<B: Backend>(
    admin: &Admin<B>,
    arguments: &CreateArguments,
) -> Result<Ended, AdminError> {
    let topic = arguments.topic();
    let done = admin.create_topic(&topic).await?;
    match arguments.client.json {
        true => say(&json!({ "topic": topic.name, "created_at": done }).to_string()),
        false => say(&format!("created topic {} at {}", topic.name, done.join(", "))),
    }
    Ok(Ended::Well)
}

async fn list<B: Backend>(
    admin: &Admin<B>,
    arguments: &ListArguments,
) -> Result<Ended, AdminError> {
    let mut topics = admin.topics().await?;
    topics.retain(|topic| arguments.all || topic.kind == TopicKind::User);
    if arguments.client.json {
        let topics = topics.iter();
        let topics: Vec<_> =
            topics.map(|topic| json!({ "topic": topic.name, "kind": topic.kind.name() })).collect();
        say(&json!({ "topics": topics }).to_string());
        return Ok(Ended::Well);
    }
    if topics.is_empty() {
        eprintln!("turbopump: there are no topics of users; --all lists the others");
    }
    for topic in &topics {
        say(&topic.name);
    }
    Ok(Ended::Well)
}

async fn describe<B: Backend>(
    admin: &Admin<B>,
    arguments: &DescribeArguments,
) -> Result<Ended, AdminError> {
    let topic = admin.describe_topic(&arguments.name).await?;
    match arguments.client.json {
        true => say(&json!(Described::new(&topic)).to_string()),
        false => say(&show::describe(&topic)),
    }
    let mut ended = Ended::Well;
    for at in &topic.brokers {
        if let Err(error) = &at.queues {
            eprintln!("turbopump: broker {:?}: {error}", at.broker);
            ended = Ended::Badly;
        }
    }
    Ok(ended)
}

async fn delete<B: Backend>(
    admin: &Admin<B>,
    arguments: &DeleteArguments,
) -> Result<Ended, AdminError> {
    let done = admin.delete_topic(&arguments.name).await?;
    match arguments.client.json {
        true => say(&json!({ "topic": arguments.name, "deleted_at": done }).to_string()),
        false => say(&format!("deleted topic {} at {}", arguments.name, done.join(", "))),
    }
    Ok(Ended::Well)
}
