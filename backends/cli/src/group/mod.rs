//! `turbopump group`: lists consumer groups, says how far they are, and has them go on elsewhere.

mod arguments;
mod show;

use core::error::Error;

use serde_json::json;

use turbopump::runtime::backend::Backend;
use turbopump::runtime::client::{Admin, AdminError, Client};

use crate::administer::{is_meant, say, told};
use crate::arguments::BackendName;
use crate::exit::Ended;
use crate::tables::table;

pub(crate) use arguments::GroupArguments;
use arguments::{GroupCommand, LagArguments, ListArguments, ResetArguments};

pub(crate) fn run(arguments: &GroupArguments) -> Result<Ended, Box<dyn Error>> {
    let command = &arguments.command;
    if let GroupCommand::Reset(reset) = command {
        let (group, topic) = (&reset.group, &reset.topic);
        let question = format!("Have the group {group:?} go on elsewhere in {topic:?}?");
        let why = format!("a reset has the group {group:?} leave out messages or get them again");
        if !is_meant(reset.yes, &question, &why)? {
            eprintln!("turbopump: nothing was reset");
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
    command: &GroupCommand,
) -> Result<Ended, Box<dyn Error>> {
    let client = Client::start(backend, command.client().settings()?).await?;
    let admin = client.admin();
    let ended = match command {
        GroupCommand::List(arguments) => list(&admin, arguments).await,
        GroupCommand::Lag(arguments) => lag(&admin, arguments).await,
        GroupCommand::Reset(arguments) => reset(&admin, arguments).await,
    };
    client.close().await;
    ended.or_else(|error| told(error, command.client().json))
}

async fn list<B: Backend>(
    admin: &Admin<B>,
    arguments: &ListArguments,
) -> Result<Ended, AdminError> {
    let mut groups = admin.groups().await?;
    groups.retain(|group| arguments.all || !group.is_system);
    if arguments.client.json {
        let groups: Vec<_> = groups
            .iter()
            .map(|group| {
                let (name, members) = (&group.name, group.members);
                json!({ "group": name, "members": members, "is_system": group.is_system })
            })
            .collect();
        say(&json!({ "groups": groups }).to_string());
        return Ok(Ended::Well);
    }
    if groups.is_empty() {
        eprintln!("turbopump: there are no groups of users; --all lists the others");
        return Ok(Ended::Well);
    }
    let mut rows = vec![["GROUP", "MEMBERS"].map(String::from)];
    rows.extend(groups.into_iter().map(|group| [group.name, group.members.to_string()]));
    let mut text = String::new();
    table(&mut text, &rows, 1);
    say(text.trim_end());
    Ok(Ended::Well)
}

async fn lag<B: Backend>(admin: &Admin<B>, arguments: &LagArguments) -> Result<Ended, AdminError> {
    let mut progress = admin.group_progress(&arguments.group).await?;
    if let Some(topic) = &arguments.topic {
        progress.queues.retain(|queue| queue.topic == *topic);
    }
    match arguments.client.json {
        true => say(&json!(show::Shown::new(&progress)).to_string()),
        false => say(&show::progress(&progress)),
    }
    let is_behind = arguments.lag_max.is_some_and(|most| progress.lag() > most);
    Ok(if is_behind { Ended::Badly } else { Ended::Well })
}

async fn reset<B: Backend>(
    admin: &Admin<B>,
    arguments: &ResetArguments,
) -> Result<Ended, AdminError> {
    let ResetArguments { group, topic, to, .. } = arguments;
    let queues = admin.reset_offsets(group, topic, (*to).into()).await?;
    if arguments.client.json {
        let queues = queues.iter().map(
            |queue| json!({ "broker": queue.broker, "queue": queue.queue, "offset": queue.offset }),
        );
        let queues: Vec<_> = queues.collect();
        say(&json!({ "group": group, "topic": topic, "queues": queues }).to_string());
        return Ok(Ended::Well);
    }
    let mut rows = vec![["BROKER", "QUEUE", "GOES ON AT"].map(String::from)];
    rows.extend(
        queues
            .iter()
            .map(|queue| [queue.broker.clone(), queue.queue.to_string(), queue.offset.to_string()]),
    );
    let mut text = String::new();
    table(&mut text, &rows, 1);
    say(text.trim_end());
    Ok(Ended::Well)
}
